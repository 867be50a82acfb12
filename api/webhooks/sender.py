"""Sends what webhooks are to be told. A receiver that hangs holds up what comes to itself, and nobody else."""

import asyncio
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.settings import ApiSettings
from api.webhooks.addresses import Resolve, resolve
from api.webhooks.client import GONE, WebhookClient, tls_context
from core.runtime.background import BackgroundThread
from core.storage import deliveries
from core.storage.database import Database
from core.storage.deliveries import Due, Outcome

AT_ONCE = 64
WAITS_SECONDS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""Between two attempts, as the Standard Webhooks specification proposes; after the last it is given up."""
FORGET_EVERY_SECONDS = 3600.0
STOP_SECONDS = 5.0

log = structlog.get_logger()


class Sender:
    """A thread with an event loop of its own, in which attempts run beside each other, one at a time for a webhook.

    Any number of processes may run one. What one leaves unsaid, as when it is killed, is sent again once its lease
    has run out.
    """

    def __init__(self, database: Database, settings: ApiSettings, resolve: Resolve = resolve) -> None:
        self._database, self._settings, self._resolve = database, settings, resolve
        self._waits = [seconds * settings.webhook_retry_scale for seconds in WAITS_SECONDS]
        self._lease_seconds = 2 * settings.webhook_timeout_seconds + 1
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._tls: ssl.SSLContext | None = None
        self._forgot_at = float("-inf")
        self._thread = BackgroundThread("webhook-sender", self._run)

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def stop(self) -> None:
        """What is under way is broken off, and sent again by whoever comes next."""
        self._thread.request_stop()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.stop(STOP_SECONDS)

    def _run(self) -> None:
        self._loop.set_default_executor(ThreadPoolExecutor(AT_ONCE))  # where host names are resolved
        with ThreadPoolExecutor(4, thread_name_prefix="deliveries") as self._rows:
            self._loop.run_until_complete(self._send())
        self._loop.close()

    async def _send(self) -> None:
        while not self._stopping.is_set():
            try:
                for due in await self._claim():
                    self._busy[due.webhook_seq] = asyncio.create_task(self._deliver(due))
            except SQLAlchemyError as error:  # away for now: look again in a while
                log.warning("sender_waits", error=str(error))
            await self._pause()
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _carry(self, due: Due) -> Outcome:
        settings = self._settings
        try:
            self._tls = self._tls or tls_context()
        except OSError as error:
            return Outcome(None, f"the certificates to trust cannot be read, see SSL_CERT_FILE: {error}")
        private = settings.webhooks_to_private_addresses
        return await WebhookClient(self._tls, settings.webhook_timeout_seconds, private, self._resolve).carry(due)

    async def _claim(self) -> list[Due]:
        loop, free = asyncio.get_running_loop(), AT_ONCE - len(self._busy)
        if time.monotonic() - self._forgot_at > FORGET_EVERY_SECONDS:
            days = self._settings.webhook_log_days
            await loop.run_in_executor(self._rows, deliveries.forget, self._database, days * 24 * 3600)
            self._forgot_at = time.monotonic()
        if free <= 0:
            return []
        claim = partial(deliveries.claim, self._database, list(self._busy), free, self._lease_seconds)
        return await loop.run_in_executor(self._rows, claim)

    async def _deliver(self, due: Due) -> None:
        try:
            outcome = await self._carry(due)
            about = {"delivery_id": due.id, "attempt": due.attempt, "response_status": outcome.response_status}
            if outcome.error is None:
                log.info("webhook_told", **about)
            else:
                log.warning("webhook_not_told", **about, error=outcome.error)
            loop = asyncio.get_running_loop()
            if outcome.response_status == GONE:
                await loop.run_in_executor(self._rows, deliveries.gone, self._database, due)
            else:
                await loop.run_in_executor(self._rows, deliveries.settle, self._database, due, outcome, self._waits)
        except SQLAlchemyError as error:  # then it is sent again
            log.warning("delivery_not_settled", delivery_id=due.id, error=str(error))
        except Exception:
            log.exception("delivery_broke", delivery_id=due.id)
        finally:
            del self._busy[due.webhook_seq]

    async def _pause(self) -> None:
        """Until it is time to look again, or one has ended, whose webhook may have more to be told."""
        told = asyncio.create_task(self._stopping.wait())
        seconds = self._settings.webhook_look_seconds
        await asyncio.wait([told, *self._busy.values()], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
