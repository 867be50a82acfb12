"""How webhooks are sent: only to the address that was checked, and by one sender at a time."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support import rows
from support.receiver import Receiver
from support.waiting import until

from api.settings import ApiSettings
from api.webhooks.addresses import Resolve, is_public
from api.webhooks.sender import Sender
from core.jobs import requests
from core.storage import webhooks
from core.storage.database import Database
from core.storage.tables import Delivery

NAME = "hooks.example"


@contextmanager
def _sending(
    database: Database, resolve: Resolve, count: int = 1, *, private: bool = True, **more: Any
) -> Iterator[None]:
    settings = ApiSettings(
        webhooks_to_private_addresses=private, webhook_look_seconds=0.02, webhook_retry_scale=0.001, **more
    )
    senders = [Sender(database, settings, resolve) for _ in range(count)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        for sender in senders:
            sender.stop()


class _Names:
    """A resolver that returns the next of `answers` for each host, at the end always the last."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self._answers = answers

    async def __call__(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        return [self._answers[min(len(self.asked), len(self._answers)) - 1]]


def _due(database: Database, url: str) -> webhooks.Webhook:
    webhook = webhooks.add(database, url)
    requests.cancel(database, rows.accept(database))
    return webhook


def _row(database: Database, webhook: webhooks.Webhook) -> Delivery:
    (found,) = webhooks.deliveries(database, webhook.id, limit=2)
    return found


def _once(database: Database, webhook: webhooks.Webhook, holds: Callable[[Delivery], object]) -> Delivery:
    """Wait until `holds` is true of the webhook's only delivery, and return that."""
    return until(
        lambda: one if holds(one := _row(database, webhook)) else None, describe=lambda: _row(database, webhook)
    )


def test_unreadable_certificates_are_the_error_of_the_delivery(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    webhook = _due(sqlite_database, "https://example.org/")
    with _sending(sqlite_database, _Names("93.184.216.34")):
        found = _once(sqlite_database, webhook, lambda one: one.error)
        assert "SSL_CERT_FILE" in (found.error or "")
        again = _due(sqlite_database, "https://example.org/other")
        _once(sqlite_database, again, lambda one: one.error)  # the sender still runs


def test_a_host_that_turns_private_later_is_not_contacted(sqlite_database: Database) -> None:
    names = _Names("3ffe::1", "127.0.0.1")  # the first counts as public but is not routed
    assert is_public("3ffe::1")
    with Receiver() as receiver:
        webhook = _due(sqlite_database, f"http://{NAME}:{receiver.port}/")
        with _sending(sqlite_database, names, private=False, webhook_timeout_seconds=1):
            found = _once(sqlite_database, webhook, lambda one: one.attempts >= 2 and "not public" in (one.error or ""))
        assert found.error == f"PrivateAddress: {NAME} leads to an address that is not public"
        assert receiver.received == []


def test_the_connection_goes_to_the_checked_address_and_the_host_is_resolved_once(
    sqlite_database: Database,
) -> None:
    names = _Names("127.0.0.1", "192.0.2.1")
    with Receiver() as receiver:
        webhook = _due(sqlite_database, f"http://{NAME}:{receiver.port}/hook?a=b")
        with _sending(sqlite_database, names):
            _once(sqlite_database, webhook, lambda one: one.status == "delivered")
        (received,) = receiver.received
    assert names.asked == [NAME]
    assert received.headers["host"] == f"{NAME}:{receiver.port}"
    assert received.path == "/hook?a=b"


def test_the_url_of_a_message_carries_the_root_path(sqlite_database: Database) -> None:
    with Receiver() as receiver:
        webhook = _due(sqlite_database, f"http://{NAME}:{receiver.port}/")
        with _sending(sqlite_database, _Names("127.0.0.1"), root_path="/pictures"):
            _once(sqlite_database, webhook, lambda one: one.status == "delivered")
        data = receiver.received[0].verified(webhook.secret)["data"]
    assert data["url"] == f"/pictures/v1/jobs/{data['id']}"


def test_no_proxy_of_the_environment_is_used(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        webhook = _due(sqlite_database, f"http://{NAME}:{receiver.port}/")
        with _sending(sqlite_database, _Names("127.0.0.1")):
            _once(sqlite_database, webhook, lambda one: one.status == "delivered")
        assert (len(receiver.received), proxy.received) == (1, [])


@pytest.mark.parametrize(("name", "taken"), [(NAME, True), ("other.example", False)])
def test_tls_verifies_the_name_and_not_the_address(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, taken: bool
) -> None:
    certificate = _certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Receiver(tls=tls) as receiver:
        webhook = _due(sqlite_database, f"https://{name}:{receiver.port}/")
        with _sending(sqlite_database, _Names("127.0.0.1")):
            found = _once(sqlite_database, webhook, lambda one: one.error or one.status != "pending")
        assert (found.status == "delivered", len(receiver.received)) == (taken, int(taken))
        assert taken or "certificate verify failed" in (found.error or "")


def _all_delivered(database: Database, webhook: webhooks.Webhook) -> bool:
    return all(one.status == "delivered" for one in webhooks.deliveries(database, webhook.id, limit=9))


def test_concurrent_senders_send_each_message_once(database: Database) -> None:
    with Receiver() as receiver:
        hooks = [webhooks.add(database, f"http://{NAME}:{receiver.port}/{number}") for number in range(4)]
        for _ in range(5):
            requests.cancel(database, rows.accept(database))
        with _sending(database, _Names("127.0.0.1"), count=3):
            receiver.wait(20)
            for hook in hooks:
                until(lambda hook=hook: _all_delivered(database, hook))
        assert len(receiver.received) == 20
        assert len({one.id for one in receiver.received}) == 20


def test_a_delivery_fails_after_ten_attempts(sqlite_database: Database) -> None:
    with Receiver(500) as receiver:
        webhook = _due(sqlite_database, f"http://{NAME}:{receiver.port}/")
        settings = ApiSettings(webhooks_to_private_addresses=True, webhook_look_seconds=0.02, webhook_retry_scale=0.0)
        sender = Sender(sqlite_database, settings, _Names("127.0.0.1"))
        sender.start()
        found = _once(sqlite_database, webhook, lambda one: one.status == "failed")
        sender.stop()
        assert (found.attempts, found.error, len(receiver.received)) == (10, "answered 500", 10)


def _certificate(folder: Path) -> Path:
    """Write a self-signed certificate of the host NAME, with its key, and return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    form = serialization.PrivateFormat.PKCS8
    content = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(content + certificate.public_bytes(serialization.Encoding.PEM))
    return path
