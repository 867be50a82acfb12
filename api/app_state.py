"""The resources that one API process keeps open and that all its requests share."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request
from redis import Redis

from api.best_effort import BestEffortCalls
from api.datasets.decoder_pool import DecoderPool
from api.files.thumbnails import Thumbnails
from api.settings import ApiSettings
from api.uploads.limiter import UploadLimiter
from core.broker.broadcaster import EventBroadcaster
from core.broker.notifier import JobNotifier
from core.storage.access import Access
from core.storage.blobs import Blobs
from core.storage.database import Database


@dataclass(frozen=True)
class AppState:
    settings: ApiSettings
    database: Database
    blobs: Blobs
    notifier: JobNotifier
    redis: Redis
    broadcaster: EventBroadcaster
    best_effort: BestEffortCalls
    decoders: DecoderPool
    upload_limiter: UploadLimiter
    thumbnails: Thumbnails


def _app_state(request: Request) -> AppState:
    """Return the app state with a database that shows only the rows that the request's key may see."""
    app_state: AppState = request.app.state.app_state
    access: Access = request.state.access  # set by AuthMiddleware
    return replace(app_state, database=app_state.database.scoped_to(access))


AppStateDep = Annotated[AppState, Depends(_app_state)]
