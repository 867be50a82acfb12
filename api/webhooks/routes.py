"""/v1/webhooks"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.app_state import AppStateDep
from api.errors import validation_problem
from api.pagination import After, Limit, Page, page_of
from api.webhooks.addresses import Refused, public_address, resolve
from api.webhooks.schemas import DeliveryOut, NewWebhookOut, WebhookIn, WebhookOut
from core.storage import webhooks

RESOLVE_SECONDS = 5.0

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


async def _allowed(app_state: AppStateDep, asked: WebhookIn) -> WebhookIn:
    """Refuse what leads into a private network. A name that nobody knows yet may come to be known."""
    if not app_state.settings.webhooks_to_private_addresses:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await public_address((asked.url.host or "").strip("[]"), asked.url.port or 443, resolve)
        except Refused as error:
            raise validation_problem([{"field": "url", "message": str(error)}]) from error
        except OSError:  # a TimeoutError is one; each attempt looks again
            pass
    return asked


@router.post("", status_code=201)
def create(app_state: AppStateDep, response: Response, asked: Annotated[WebhookIn, Depends(_allowed)]) -> NewWebhookOut:
    """From now on the address is told of every job of yours that ends. The secret is shown this once."""
    webhook = webhooks.add(app_state.database, str(asked.url))
    response.headers["Location"] = f"/v1/webhooks/{webhook.id}"
    return NewWebhookOut.of(webhook)


@router.get("")
def listing(app_state: AppStateDep, limit: Limit = 20, after: After = None) -> Page[WebhookOut]:
    """List webhooks, newest first."""
    return page_of(webhooks.listing(app_state.database, limit=limit + 1, after=after), limit, WebhookOut.of)


@router.get("/{webhook_id}")
def show(app_state: AppStateDep, webhook_id: str) -> WebhookOut:
    return WebhookOut.of(webhooks.find(app_state.database, webhook_id))


@router.delete("/{webhook_id}", status_code=204)
def delete(app_state: AppStateDep, webhook_id: str) -> None:
    """It is told nothing more, also not what it was to be told."""
    webhooks.delete(app_state.database, webhook_id)


@router.get("/{webhook_id}/deliveries")
def deliveries(app_state: AppStateDep, webhook_id: str, limit: Limit = 20, after: After = None) -> Page[DeliveryOut]:
    """What the webhook was told, and what it is to be told, newest first."""
    rows = webhooks.deliveries(app_state.database, webhook_id, limit=limit + 1, after=after)
    return page_of(rows, limit, DeliveryOut.of)


@router.post("/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202)
def redeliver(app_state: AppStateDep, webhook_id: str, delivery_id: str) -> DeliveryOut:
    """Send it again under the same id. 409 for one that is still being tried."""
    return DeliveryOut.of(webhooks.redeliver(app_state.database, webhook_id, delivery_id))
