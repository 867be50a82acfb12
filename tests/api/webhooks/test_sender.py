"""How webhooks are sent: only to the address that was checked, and by one sender at a time."""

import asyncio
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
from api.webhooks.addresses import PrivateAddress, Resolve, is_public, public_address
from api.webhooks.sender import Sender
from core.jobs import requests
from core.storage import webhooks
from core.storage.database import Database
from core.storage.tables import Delivery

NAME = "hooks.example"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),  # NAT64 of the first
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.31.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("100.127.255.255", False),
        ("0.0.0.0", False),
        ("192.0.0.10", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("168.63.129.16", False),
        ("192.88.99.1", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::5db8:d822", False),
        ("2002:7f00:1::", False),  # 6to4 of 127.0.0.1
        ("2002:a00:1::1", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),  # Teredo of 127.0.0.1
    ],
)
def test_public_and_private_addresses_are_told_apart_in_every_notation(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_host_with_one_private_address_among_public_ones_is_refused() -> None:
    async def both(_: str, __: int) -> Sequence[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(PrivateAddress, match="not public") as refused:
        asyncio.run(public_address(NAME, 443, both))
    assert "10.0.0.1" not in str(refused.value)  # clients learn nothing of the network


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
