"""What one API process holds open for all its requests."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from api.settings import ApiSettings
from core.broker.bell import Bell
from core.store.blobs import Blobs
from core.store.database import Database


@dataclass(frozen=True)
class House:
    settings: ApiSettings
    database: Database
    blobs: Blobs
    bell: Bell
    redis: Redis
    async_redis: AsyncRedis


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


InHouse = Annotated[House, Depends(_house)]
