"""Send one webhook message: signed, to a checked address, within a time limit."""

import asyncio
import json
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from api.webhooks.addresses import Resolve, public_address
from core.storage.deliveries import DueDelivery, Outcome

MAX_ERROR = 500  # characters
GONE = 410


@dataclass(frozen=True)
class WebhookClient:
    """Sends messages. allow_private: also to addresses that are not public."""

    tls: ssl.SSLContext
    timeout_seconds: float
    allow_private: bool
    resolve: Resolve

    async def deliver(self, due: DueDelivery) -> Outcome:
        """Attempt a delivery once and return its outcome; errors are part of the outcome and never raised."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                status = await self._post(due)
        except TimeoutError:
            return Outcome(None, f"no answer within {self.timeout_seconds:g} s")
        except Exception as error:  # of the network, of TLS, or of a URL that httpx rejects
            return Outcome(None, f"{type(error).__name__}: {error}"[:MAX_ERROR])
        return Outcome(status, None if 200 <= status < 300 else _status_error(status))

    async def _post(self, due: DueDelivery) -> int:
        """Return the status of the response, whose body is not read."""
        import httpx

        parts = urlsplit(due.url)
        host = parts.hostname or ""
        url = httpx.URL(due.url)
        address = await self._address(host, parts.port or (443 if parts.scheme == "https" else 80))
        body = json.dumps(due.payload, ensure_ascii=False, separators=(",", ":"))
        # Connect to the very address that was checked; a second look-up could return another. TLS verifies the name.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            verify=self.tls, timeout=self.timeout_seconds, trust_env=False, limits=limits
        ) as client:
            request = client.build_request(
                "POST",
                url.copy_with(host=address),
                content=body.encode(),
                headers={"Host": url.netloc.decode("ascii"), **headers(due, body)},
                extensions={"sni_hostname": host},
            )
            response = await client.send(request, stream=True, follow_redirects=False)
            await response.aclose()
            return response.status_code

    async def _address(self, host: str, port: int) -> str:
        if not self.allow_private:
            return await public_address(host, port, self.resolve)
        found = await self.resolve(host, port)
        if not found:
            raise OSError(f"{host} has no address")
        return found[0]


def headers(due: DueDelivery, body: str) -> dict[str, str]:
    """Return the headers of the Standard Webhooks specification. A repeated message keeps its id, not its timestamp."""
    from standardwebhooks import Webhook

    sent_at = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": "genconvnet",
        "webhook-id": due.id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(due.secret).sign(due.id, sent_at, body),
    }


def _status_error(status: int) -> str:
    return f"answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts the file in SSL_CERT_FILE, or else certifi's authorities. Raises OSError."""
    import httpx

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each URL, and those of webhooks may hold secrets
    return httpx.create_ssl_context()
