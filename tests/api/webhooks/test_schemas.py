"""Which URLs a webhook may have, and what is shown of it."""

import pytest
from pydantic import ValidationError

from api.webhooks.schemas import DeliveryOut, NewWebhookOut, WebhookIn, WebhookOut
from core.storage.tables import Delivery, Webhook


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.org/hook?a=b", "https://example.org/hook?a=b"),
        ("http://EXAMPLE.org", "http://example.org/"),
        ("http://my_service.example.org:8000/", "http://my_service.example.org:8000/"),
        ("http://93.184.216.34/", "http://93.184.216.34/"),
        ("http://[2606:2800::1]:81/", "http://[2606:2800::1]:81/"),
        (f"http://{'a' * 63}.org/", f"http://{'a' * 63}.org/"),
        ("http://example.org./", "http://example.org./"),
    ],
)
def test_a_url_of_a_host_is_accepted(url: str, kept: str) -> None:
    assert WebhookIn.model_validate({"url": url}).model_dump()["url"] == kept


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://ada@example.org/", "must not contain a user or password"),
        ("https://:secret@example.org/", "must not contain a user or password"),
        (f"https://{'a' * 64}.org/", "its host is not a valid name"),
        (f"https://{'a.' * 130}org/", "its host is not a valid name"),
        ("https://-a.org/", "its host is not a valid name"),
        ("https://a..org/", "its host is not a valid name"),
        ("ftp://example.org/", "URL scheme"),
        (f"https://example.org/{'a' * 2000}", "at most 2000 characters"),
    ],
)
def test_another_is_refused_with_the_reason(url: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        WebhookIn.model_validate({"url": url})


def test_the_secret_is_shown_only_of_a_new_webhook() -> None:
    row = Webhook(id="webhook_1", url="https://example.org/", secret="whsec_x", created_at=0.0)
    assert "whsec_x" not in WebhookOut.of(row).model_dump_json()
    assert NewWebhookOut.of(row).secret == "whsec_x"


def test_a_delivery_shows_the_times_that_it_has() -> None:
    about = {"id": "message_1", "job_id": "job_1", "event": "job.succeeded", "attempts": 1, "created_at": 0.0}
    waiting = DeliveryOut.of(Delivery(**about, status="pending", next_at=1.0))
    assert (waiting.next_at is not None, waiting.delivered_at) == (True, None)
    delivered = DeliveryOut.of(Delivery(**about, status="delivered", delivered_at=2.0))
    assert (delivered.next_at, delivered.delivered_at is not None) == (None, True)
