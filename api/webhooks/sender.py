"""Send webhook messages in the background. A receiver that hangs delays only its own messages."""

import asyncio
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.settings import ApiSettings
from api.webhooks.addresses import Resolve, resolve
from api.webhooks.client import GONE, WebhookClient, tls_context
from core.runtime.background import BackgroundThread
from core.storage import deliveries
from core.storage.database import Database
from core.storage.deliveries import DueDelivery, Outcome

MAX_CONCURRENT = 64
RETRY_DELAYS_SECONDS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Delays between attempts, as the Standard Webhooks specification proposes; after the last, the delivery fails."""
PRUNE_INTERVAL_SECONDS = 3600.0
STOP_SECONDS = 5.0

log = structlog.get_logger()


class Sender:
    """A thread with its own event loop, which runs deliveries concurrently, one at a time for each webhook.

    Several processes may each run one. If a process is killed while it delivers, another sends the message again when
    the lease has expired.
    """

    def __init__(self, database: Database, settings: ApiSettings, resolve: Resolve = resolve) -> None:
        self._database, self._settings, self._resolve = database, settings, resolve
        self._retry_delays = [seconds * settings.webhook_retry_scale for seconds in RETRY_DELAYS_SECONDS]
        self._lease_seconds = 2 * settings.webhook_timeout_seconds + 1
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._tls: ssl.SSLContext | None = None
        self._pruned_at = float("-inf")
        self._thread = BackgroundThread("webhook-sender", self._run)

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def stop(self) -> None:
        """Cancel the deliveries in flight; another sender, or the next start, sends them again."""
        self._thread.request_stop()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.stop(STOP_SECONDS)

    def _run(self) -> None:
        self._loop.set_default_executor(ThreadPoolExecutor(MAX_CONCURRENT))  # for getaddrinfo
        with ThreadPoolExecutor(4, thread_name_prefix="deliveries") as self._database_threads:
            self._loop.run_until_complete(self._send())
        self._loop.close()

    async def _send(self) -> None:
        while not self._stopping.is_set():
            try:
                for due in await self._claim():
                    self._in_flight[due.webhook_seq] = asyncio.create_task(self._deliver(due))
            except SQLAlchemyError as error:  # the database is away: try again after the pause
                log.warning("webhook_claim_failed", error=str(error))
            await self._pause()
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def _attempt(self, due: DueDelivery) -> Outcome:
        """Deliver once. A missing certificate file is an outcome too, because it may be there at the next attempt."""
        settings = self._settings
        try:
            self._tls = self._tls or tls_context()
        except OSError as error:
            return Outcome(None, f"the certificates to trust cannot be read, check SSL_CERT_FILE: {error}")
        private = settings.webhooks_to_private_addresses
        client = WebhookClient(self._tls, settings.webhook_timeout_seconds, private, self._resolve)
        return await client.deliver(_below_root_path(due, settings.root_path))

    async def _claim(self) -> list[DueDelivery]:
        """Lease the deliveries that are due, and once an hour delete old ones."""
        loop, free = asyncio.get_running_loop(), MAX_CONCURRENT - len(self._in_flight)
        if time.monotonic() - self._pruned_at > PRUNE_INTERVAL_SECONDS:
            days = self._settings.webhook_log_days
            await loop.run_in_executor(
                self._database_threads, deliveries.delete_finished, self._database, days * 24 * 3600
            )
            self._pruned_at = time.monotonic()
        if free <= 0:
            return []
        claim = partial(deliveries.claim, self._database, list(self._in_flight), free, self._lease_seconds)
        return await loop.run_in_executor(self._database_threads, claim)

    async def _deliver(self, due: DueDelivery) -> None:
        """Deliver once and store the outcome."""
        try:
            outcome = await self._attempt(due)
            about = {"delivery_id": due.id, "attempt": due.attempt, "response_status": outcome.response_status}
            if outcome.error is None:
                log.info("webhook_delivered", **about)
            else:
                log.warning("webhook_not_delivered", **about, error=outcome.error)
            loop = asyncio.get_running_loop()
            if outcome.response_status == GONE:
                await loop.run_in_executor(self._database_threads, deliveries.delete_webhook, self._database, due)
            else:
                await loop.run_in_executor(
                    self._database_threads, deliveries.record_outcome, self._database, due, outcome, self._retry_delays
                )
        except SQLAlchemyError as error:  # it is sent again when the lease has expired
            log.warning("webhook_outcome_not_stored", delivery_id=due.id, error=str(error))
        except Exception:
            log.exception("webhook_delivery_crashed", delivery_id=due.id)
        finally:
            del self._in_flight[due.webhook_seq]

    async def _pause(self) -> None:
        """Wait for the poll interval, a stop, or the end of a delivery, whose webhook may have another one due."""
        stopping = asyncio.create_task(self._stopping.wait())
        seconds = self._settings.webhook_look_seconds
        await asyncio.wait([stopping, *self._in_flight.values()], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()


def _below_root_path(due: DueDelivery, root_path: str) -> DueDelivery:
    """Return the delivery with the `url` of its job as clients reach it."""
    data = due.payload["data"]
    return replace(due, payload={**due.payload, "data": {**data, "url": root_path + data["url"]}})
