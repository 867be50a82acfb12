"""One attempt to send a message: its outcome, whatever happens."""

import asyncio
import functools
import ssl
from collections.abc import Sequence
from typing import Any

import pytest
from support.receiver import Receiver, hang

from api.webhooks.client import MAX_ERROR, WebhookClient, headers, tls_context
from core.storage.deliveries import DueDelivery, Outcome

SECRET = "whsec_" + "c2VjcmV0" * 4


def _due(url: str, **payload: Any) -> DueDelivery:
    return DueDelivery(1, "message_1", "webhook_1", 1, url, SECRET, payload, 1)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _deliver(due: DueDelivery, *addresses: str, private: bool = True, seconds: float = 20.0) -> Outcome:
    async def resolve(host: str, port: int) -> Sequence[str]:
        del port
        if host == "long.example":
            raise OSError("x" * 1000)
        return addresses

    client = WebhookClient(_tls(), seconds, private, resolve)
    return asyncio.run(client.deliver(due))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (299, None),
        (302, "answered 302, and redirects are not followed"),
        (404, "answered 404"),
        (500, "answered 500"),
    ],
)
def test_the_status_of_the_answer_decides(status: int, error: str | None) -> None:
    with Receiver(status, location="http://127.0.0.1:9/") as receiver:
        outcome = _deliver(_due(f"http://hooks.example:{receiver.port}/x", name="ü"), "127.0.0.1")
        (received,) = receiver.received
    assert outcome == Outcome(status, error)
    assert received.verified(SECRET) == {"name": "ü"}
    assert received.body == '{"name":"ü"}'.encode()


def test_a_message_keeps_its_id_and_says_what_it_is() -> None:
    found = headers(_due("http://x"), "{}")
    assert (found["webhook-id"], found["Content-Type"]) == ("message_1", "application/json")
    assert found["webhook-timestamp"].isdecimal()
    assert found["webhook-signature"].startswith("v1,")


def test_without_an_answer_in_time_the_time_is_said() -> None:
    with Receiver(hang) as receiver:
        assert _deliver(_due(receiver.url), "127.0.0.1", seconds=0.05) == Outcome(None, "no answer within 0.05 s")


@pytest.mark.parametrize(
    ("url", "addresses", "private", "said"),
    [
        ("http://hooks.example/", (), True, "OSError: hooks.example has no address"),
        ("http://hooks.example/", ("10.0.0.1",), False, "PrivateAddress: "),
        ("http://hooks.example:1/", ("127.0.0.1",), True, "ConnectError: "),
        ("http://long.example/", (), True, "OSError: xxx"),
    ],
)
def test_an_error_is_the_outcome_and_not_raised(url: str, addresses: tuple[str, ...], private: bool, said: str) -> None:
    outcome = _deliver(_due(url), *addresses, private=private)
    assert outcome.response_status is None
    assert outcome.error is not None
    assert outcome.error.startswith(said)
    assert len(outcome.error) <= MAX_ERROR


def test_a_host_is_looked_up_with_the_port_of_its_url_or_of_its_scheme() -> None:
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ()

    client = WebhookClient(_tls(), 20.0, True, resolve)
    for url in ("https://a.example/", "http://b.example/", "https://c.example:81/"):
        asyncio.run(client.deliver(_due(url)))
    assert asked == [("a.example", 443), ("b.example", 80), ("c.example", 81)]


def test_the_authorities_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert tls_context().verify_mode == ssl.CERT_REQUIRED
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(OSError):  # noqa: PT011  its text is OpenSSL's
        tls_context()
