"""Schemas of /v1/session. They describe a key to its holder and never contain the key itself."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.http.pagination import Time
from core.schemas.times import utc_datetime
from core.storage.tables import ApiKey


class SessionIn(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    key: Annotated[str, Field(min_length=1, max_length=200, description="As printed by `genconvnet keys create`.")]


class KeyOut(BaseModel):
    id: str
    name: str
    prefix: str
    admin: bool
    expires_at: Time | None


class SessionOut(BaseModel):
    """`key` is null if the request carries no key because none is needed."""

    key: KeyOut | None

    @classmethod
    def of(cls, row: ApiKey | None) -> "SessionOut":
        if row is None:
            return cls(key=None)
        expires_at = utc_datetime(row.expires_at) if row.expires_at is not None else None
        return cls(key=KeyOut(id=row.id, name=row.name, prefix=row.prefix, admin=row.admin, expires_at=expires_at))
