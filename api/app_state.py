"""What one API process holds open for all its requests."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request
from redis import Redis

from api.best_effort import Aside
from api.datasets.decoder_pool import Decoders
from api.settings import ApiSettings
from api.uploads.limiter import Places
from core.broker.broadcaster import News
from core.broker.notifier import Bell
from core.storage.access import Access
from core.storage.blobs import Blobs
from core.storage.database import Database


@dataclass(frozen=True)
class House:
    settings: ApiSettings
    database: Database
    blobs: Blobs
    bell: Bell
    redis: Redis
    news: News
    aside: Aside
    decoders: Decoders
    places: Places


def _house(request: Request) -> House:
    """The house as whoever sent the request may see it."""
    house: House = request.app.state.house
    access: Access = request.state.access  # set by the gate, api/auth/middleware.py
    return replace(house, database=house.database.seen_by(access))


InHouse = Annotated[House, Depends(_house)]
