"""Keys for the tests, and requests with them."""

from dataclasses import dataclass

import httpx
from support.http import Api

from core.storage import keys
from core.storage.access import Access
from core.storage.database import Database
from core.storage.keys import NewKey


@dataclass(frozen=True)
class Holder:
    """Someone with a key: the headers of their requests, and the database scoped to their access."""

    id: str
    key: str
    database: Database

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


def holder(database: Database, name: str, *, admin: bool = False, **limits: int) -> Holder:
    made = keys.create(database, NewKey(name, admin=admin, **limits))
    access = Access(owner=made.row.seq, sees_all=admin, key_id=made.row.id, **_stored(limits))
    return Holder(made.row.id, made.key, database.scoped_to(access))


def ask(api: Api, who: Holder | None, method: str, path: str, **content: object) -> httpx.Response:
    return api.client.request(method, path, headers=who.headers if who else {}, **content)  # type: ignore[arg-type]


def _stored(limits: dict[str, int]) -> dict[str, int]:
    return {name: most for name, most in limits.items() if name != "requests_per_minute"}
