"""One attempt to deliver a message: signed, to an address that was looked at, and over within its time."""

import asyncio
import json
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from api.webhooks.addresses import Resolve, public_address
from core.storage.deliveries import Due, Outcome

MAX_ERROR = 500  # letters
GONE = 410


@dataclass(frozen=True)
class WebhookClient:
    """How messages are carried. `to_private`: also to addresses of one's own network."""

    tls: ssl.SSLContext
    timeout_seconds: float
    to_private: bool
    resolve: Resolve

    async def carry(self, due: Due) -> Outcome:
        """Whatever goes wrong is the outcome."""
        try:
            async with asyncio.timeout(self.timeout_seconds):
                status = await self._post(due)
        except TimeoutError:
            return Outcome(None, f"no answer within {self.timeout_seconds:g} s")
        except Exception as error:  # of the network, of TLS, of a URL that httpx reads otherwise
            return Outcome(None, f"{type(error).__name__}: {error}"[:MAX_ERROR])
        return Outcome(status, None if 200 <= status < 300 else _wrong(status))

    async def _post(self, due: Due) -> int:
        """The status of the answer, of which nothing else is read."""
        import httpx

        parts = urlsplit(due.url)
        host = parts.hostname or ""
        url = httpx.URL(due.url)
        address = await self._address(host, parts.port or (443 if parts.scheme == "https" else 80))
        body = json.dumps(due.payload, ensure_ascii=False, separators=(",", ":"))
        # The connection goes to the very address that was looked at, while the name stays what TLS verifies.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            verify=self.tls, timeout=self.timeout_seconds, trust_env=False, limits=limits
        ) as one:
            request = one.build_request(
                "POST",
                url.copy_with(host=address),
                content=body.encode(),
                headers={"Host": url.netloc.decode("ascii"), **headers(due, body)},
                extensions={"sni_hostname": host},
            )
            answer = await one.send(request, stream=True, follow_redirects=False)
            await answer.aclose()
            return answer.status_code

    async def _address(self, host: str, port: int) -> str:
        if not self.to_private:
            return await public_address(host, port, self.resolve)
        found = await self.resolve(host, port)
        if not found:
            raise OSError(f"{host} has no address")
        return found[0]


def headers(due: Due, body: str) -> dict[str, str]:
    """As the Standard Webhooks specification has them. The time is the attempt's, the id the message's."""
    from standardwebhooks import Webhook

    sent_at = datetime.now(UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": "genconvnet",
        "webhook-id": due.id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(due.secret).sign(due.id, sent_at, body),
    }


def _wrong(status: int) -> str:
    return f"answered {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")


def tls_context() -> ssl.SSLContext:
    """Trusts what SSL_CERT_FILE names, else the authorities that certifi knows."""
    import httpx

    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells each URL, and those of webhooks may hold secrets
    return httpx.create_ssl_context()
