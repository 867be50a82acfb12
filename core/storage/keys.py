"""API keys. Only the SHA-256 of a key is stored; a key is valid until it is revoked or expires."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select

from core.schemas.times import DAY_SECONDS
from core.storage import audit
from core.storage.clock import now
from core.storage.database import Database
from core.storage.errors import Conflict, NotFound
from core.storage.tables import ApiKey, new_id

TOKEN_PREFIX = "gcn_"
SECRET_BYTES = 32
MIN_BEGINNING = 7  # characters of an id or prefix that identify a key: gcn_ or key_ and 3 more
MIN_PART = 3
MAX_CANDIDATES = 5
SHOWN_CHARACTERS = 10  # characters of a key stored in clear to identify it: gcn_ and 6 of the 43 secret ones


@dataclass(frozen=True)
class NewKey:
    """A key to create. A limit of None means the limit of the settings."""

    name: str
    admin: bool = False
    expires_days: float | None = None
    requests_per_minute: int | None = None
    max_stored_bytes: int | None = None
    max_unfinished_jobs: int | None = None


@dataclass(frozen=True)
class CreatedKey:
    """A key's row, and the key itself, which is not stored."""

    row: ApiKey
    key: str


def create(database: Database, new: NewKey) -> CreatedKey:
    """Create a key from 256 random bits."""
    key = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    row = ApiKey(
        id=new_id("key"),
        name=new.name,
        prefix=key[:SHOWN_CHARACTERS],
        sha256=_sha256(key),
        admin=new.admin,
        expires_at=None if new.expires_days is None else now() + new.expires_days * DAY_SECONDS,
        requests_per_minute=new.requests_per_minute,
        max_stored_bytes=new.max_stored_bytes,
        max_unfinished_jobs=new.max_unfinished_jobs,
    )
    with database.write() as session:
        session.add(row)
        session.flush()
        session.refresh(row)
        audit.add(session, "key.create", row.id, name=row.name, admin=row.admin)
    return CreatedKey(row, key)


def listing(database: Database) -> Sequence[ApiKey]:
    """Return every key, including revoked and expired ones, newest first."""
    with database.read() as session:
        return session.scalars(select(ApiKey).order_by(ApiKey.seq.desc())).all()


def identify(database: Database, which: str) -> ApiKey:
    """Return the one key that is meant by its id, its name, the beginning of its id or prefix, or the key itself.

    Unrevoked keys come first. Raises NotFound, naming keys like it, or Conflict if several keys could be meant.
    """
    rows = listing(database)
    for meant in (lambda row: row.id == which, lambda row: _is_meant(row, which) and row.revoked_at is None):
        if len(found := [row for row in rows if meant(row)]) == 1:
            return found[0]
        if found:
            raise Conflict(f"{_shown(which)!r} may be any of {_listed(found)}: give the id")
    if revoked := [row for row in rows if _is_meant(row, which)]:
        raise Conflict(f"key {revoked[0].id} ({revoked[0].name}) is already revoked")
    alike = [row for row in rows if _is_alike(row, which) and row.revoked_at is None][:MAX_CANDIDATES]
    raise NotFound("key", _shown(which), f"; did you mean {_listed(alike)}? Give the id" if alike else "")


def _is_meant(row: ApiKey, which: str) -> bool:
    if which.startswith(row.prefix) and len(which) > len(row.prefix):
        return hmac.compare_digest(row.sha256, _sha256(which))
    is_beginning = len(which) >= MIN_BEGINNING and (row.id.startswith(which) or row.prefix.startswith(which))
    return row.name == which or is_beginning


def _is_alike(row: ApiKey, which: str) -> bool:
    """Return True if `which` may be a part of the key's id or prefix, or the key or its id mistyped or cut."""
    part = which.removesuffix("…").removesuffix("...").strip()
    same_beginning = len(part) >= MIN_BEGINNING and part[:MIN_BEGINNING] in (
        row.id[:MIN_BEGINNING],
        row.prefix[:MIN_BEGINNING],
    )
    is_part = len(part) >= MIN_PART and part not in "gcn_key_" and (part in row.id or part in row.prefix)
    return same_beginning or is_part or part.casefold() == row.name.casefold()


def _listed(rows: Sequence[ApiKey]) -> str:
    return ", ".join(f"{row.id} ({row.name})" for row in rows)


def _shown(which: str) -> str:
    """Return what may be printed: a whole key is cut."""
    return f"{which[:SHOWN_CHARACTERS]}…" if which.startswith(TOKEN_PREFIX) else which


def revoke(database: Database, key_id: str) -> ApiKey:
    """Revoke a key. Its rows stay and admins see them. Raises NotFound, or Conflict if it was already revoked."""
    with database.write() as session:
        row = session.scalar(select(ApiKey).where(ApiKey.id == key_id).with_for_update())
        if row is None:
            raise NotFound("key", key_id)
        if row.revoked_at is not None:
            raise Conflict(f"key {key_id} is already revoked")
        row.revoked_at = session.scalar(select(now()))
        audit.add(session, "key.revoke", row.id, name=row.name)
        return row


def find(database: Database, key: str) -> ApiKey | None:
    """Return the row of a key, or None if the key is unknown, revoked or expired."""
    digest = _sha256(key)
    with database.read() as session:
        row = session.scalar(select(ApiKey).where(ApiKey.sha256 == digest, _valid()))
    return row if row is not None and hmac.compare_digest(row.sha256, digest) else None


def is_valid(database: Database, key_id: str) -> bool:
    """Return True if the key is still valid (neither revoked nor expired)."""
    with database.read() as session:
        return session.scalar(select(ApiKey.seq).where(ApiKey.id == key_id, _valid())) is not None


def any_unrevoked(database: Database) -> bool:
    """Return True if there is a key that is not revoked; then every request needs a key.

    Expired keys count, so that the service does not become public when its last key expires.
    """
    with database.read() as session:
        return session.scalar(select(ApiKey.seq).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None


def _valid() -> ColumnElement[bool]:
    return ApiKey.revoked_at.is_(None) & (ApiKey.expires_at.is_(None) | (ApiKey.expires_at > now()))


def _sha256(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
