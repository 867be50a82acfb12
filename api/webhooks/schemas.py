"""Requests for webhooks; webhooks and deliveries as responses show them."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, HttpUrl, PlainSerializer, UrlConstraints, field_validator

from api.auth.exposure import is_address
from api.http.pagination import Time
from core.schemas.times import utc_datetime
from core.storage.tables import Delivery, Webhook

MAX_URL = 2000
MAX_HOST = 253
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)


class WebhookIn(BaseModel):
    """The URL to which the end of each job is sent."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[HttpUrl, UrlConstraints(max_length=MAX_URL), PlainSerializer(str, return_type=str)]

    @field_validator("url")
    @classmethod
    def _has_no_password(cls, url: HttpUrl) -> HttpUrl:
        if url.username or url.password:
            raise ValueError("must not contain a user or password: receivers verify the signature instead")
        return url

    @field_validator("url")
    @classmethod
    def _names_a_host(cls, url: HttpUrl) -> HttpUrl:
        host = (url.host or "").strip("[]")
        if not is_address(host) and not (len(host) <= MAX_HOST and _HOST.fullmatch(host)):
            raise ValueError("its host is not a valid name: parts of 1 to 63 letters, digits and hyphens")
        return url


class WebhookOut(BaseModel):
    id: str
    url: str
    created_at: Time

    @classmethod
    def of(cls, row: Webhook) -> "WebhookOut":
        return cls(id=row.id, url=row.url, created_at=utc_datetime(row.created_at))


class NewWebhookOut(WebhookOut):
    """A new webhook with its secret, which is not shown again."""

    secret: str

    @classmethod
    def of(cls, row: Webhook) -> "NewWebhookOut":
        return cls(**WebhookOut.of(row).model_dump(), secret=row.secret)


class DeliveryOut(BaseModel):
    """A message to a webhook. `id` is its webhook-id header. `next_at` is the time of the next attempt."""

    id: str
    job_id: str
    event: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    response_status: int | None
    error: str | None
    created_at: Time
    next_at: Time | None
    delivered_at: Time | None

    @classmethod
    def of(cls, row: Delivery) -> "DeliveryOut":
        return cls(
            id=row.id,
            job_id=row.job_id,
            event=row.event,
            status=row.status,
            attempts=row.attempts,
            response_status=row.response_status,
            error=row.error,
            created_at=utc_datetime(row.created_at),
            next_at=utc_datetime(row.next_at) if row.next_at is not None else None,
            delivered_at=utc_datetime(row.delivered_at) if row.delivered_at is not None else None,
        )
