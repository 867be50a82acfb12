"""/v1/webhooks"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.app_state import AppStateDep
from api.errors import validation_problem
from api.http.pagination import After, Limit, Page, page_of
from api.http.public_urls import public_url
from api.webhooks.addresses import PrivateAddress, public_address, resolve
from api.webhooks.schemas import DeliveryOut, NewWebhookOut, WebhookIn, WebhookOut
from core.storage import webhooks

RESOLVE_SECONDS = 5.0

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


async def _checked(app_state: AppStateDep, body: WebhookIn) -> WebhookIn:
    """Raises Problem if the URL leads to a private address. A host that does not resolve yet is accepted."""
    if not app_state.settings.webhooks_to_private_addresses:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await public_address((body.url.host or "").strip("[]"), body.url.port or 443, resolve)
        except PrivateAddress as error:
            raise validation_problem([{"field": "url", "message": str(error)}]) from error
        except OSError:  # including TimeoutError; each delivery checks again
            pass
    return body


@router.post("", status_code=201)
def create(app_state: AppStateDep, response: Response, body: Annotated[WebhookIn, Depends(_checked)]) -> NewWebhookOut:
    """Register a URL to which the end of each of your jobs is sent. The secret is shown only in this response."""
    webhook = webhooks.add(app_state.database, str(body.url))
    response.headers["Location"] = public_url(f"/v1/webhooks/{webhook.id}")
    return NewWebhookOut.of(webhook)


@router.get("")
def listing(app_state: AppStateDep, limit: Limit = 20, after: After = None) -> Page[WebhookOut]:
    """List webhooks, newest first."""
    return page_of(webhooks.listing(app_state.database, limit=limit + 1, after=after), limit, WebhookOut.of)


@router.get("/{webhook_id}")
def show(app_state: AppStateDep, webhook_id: str) -> WebhookOut:
    """Show a webhook."""
    return WebhookOut.of(webhooks.find(app_state.database, webhook_id))


@router.delete("/{webhook_id}", status_code=204)
def delete(app_state: AppStateDep, webhook_id: str) -> None:
    """Delete a webhook and its pending deliveries."""
    webhooks.delete(app_state.database, webhook_id)


@router.get("/{webhook_id}/deliveries")
def deliveries(app_state: AppStateDep, webhook_id: str, limit: Limit = 20, after: After = None) -> Page[DeliveryOut]:
    """List past and pending deliveries, newest first."""
    rows = webhooks.deliveries(app_state.database, webhook_id, limit=limit + 1, after=after)
    return page_of(rows, limit, DeliveryOut.of)


@router.post("/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202)
def redeliver(app_state: AppStateDep, webhook_id: str, delivery_id: str) -> DeliveryOut:
    """Send a delivery again under the same id. 409 if it is still pending."""
    return DeliveryOut.of(webhooks.redeliver(app_state.database, webhook_id, delivery_id))
