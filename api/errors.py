"""Every error leaves as application/problem+json (RFC 9457). The one place where errors of the core meet HTTP."""

import errno
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from obstore.exceptions import BaseError as BlobError
from redis import RedisError
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from core.schemas.jobs import JobKind
from core.storage.blobs import BlobMissing, BlobStoreUnavailable
from core.storage.database import UNAVAILABLE, UnknownCommit
from core.storage.errors import Conflict, LimitReached, NotFound

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "5"
CLOSE_CONNECTION = {"Connection": "close"}
LOCATIONS = ("body", "query", "path", "header")

PARTS: dict[type[Exception], str] = {
    RedisError: "broker",
    BlobError: "store of files",
    BlobStoreUnavailable: "store of files",
    **dict.fromkeys(UNAVAILABLE, "database"),
}
FULL_DISK = ("No space left on device", "database or disk is full", "Disk quota exceeded")  # in the words of others

log = structlog.get_logger()


class Problem(Exception):
    """An answer that names what is wrong, and in `errors` where (field, message; file where one is at fault)."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[dict[str, Any]] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, list(errors), headers


class NoContent(Exception):
    """There is nothing to answer, and it is no error: 204."""


def problem_response(
    status: int, detail: str, errors: Sequence[dict[str, Any]] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    title = HTTPStatus(status).phrase
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        content["errors"] = list(errors)
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


def limit_response(error: LimitReached) -> JSONResponse:
    return problem_response(429, str(error), headers={"Retry-After": str(error.retry_after_seconds)})


def storage_away(error: Exception) -> JSONResponse:
    """503 for a part that does not answer, 507 where its disk is full."""
    if no_room(error):
        log.warning("no_room", error=str(error))
        return problem_response(507, "there is no room left on the disk; nothing was changed")
    log.warning("storage_away", error=str(error))
    part = next(name for kind, name in PARTS.items() if isinstance(error, kind))
    known = "it is not known whether this was done" if isinstance(error, UnknownCommit) else "nothing was changed"
    detail = f"the {part} does not answer at the moment; {known}"
    return problem_response(503, detail, headers={"Retry-After": RETRY_AFTER_SECONDS})


def field_name(location: Sequence[int | str]) -> str:
    """("params", "layers", 0, "filters") -> params.layers[0].filters"""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name


def field_errors(errors: Sequence[Any], prefix: Sequence[int | str] = ()) -> list[dict[str, Any]]:
    """pydantic's errors as (field, message), without the words that only pydantic needs."""
    return [
        {"field": field_name((*prefix, *_location(error))), "message": error["msg"].removeprefix("Value error, ")}
        for error in errors
        if not _follows_from_another(error, errors)
    ]


def _location(error: Any) -> Sequence[int | str]:
    """Where it is; of a union whose tag is missing or unknown, the tag."""
    location = tuple(error["loc"])
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return (*location, error["ctx"]["discriminator"].strip("'"))
    return location


def _follows_from_another(error: Any, errors: Sequence[Any]) -> bool:
    """pydantic calls a list too short when it has set aside the entries that it refuses."""
    location = tuple(error["loc"])
    inside = (tuple(other["loc"]) for other in errors)
    return error["type"] == "too_short" and any(
        len(other) > len(location) and other[: len(location)] == location for other in inside
    )


def _without_kind(location: Sequence[int | str]) -> Sequence[int | str]:
    """Of a job's body pydantic says first which of the kinds it takes it for."""
    return location[1:] if location and location[0] in set(JobKind) else location


def validation_problem(errors: Sequence[dict[str, Any]]) -> Problem:
    """422 for fields; the detail repeats the first, for those who only read that."""
    return Problem(422, "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3]), errors)


def install(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    def _problem(_: Request, error: Problem) -> JSONResponse:
        return problem_response(error.status, error.detail, error.errors, error.headers)

    @app.exception_handler(NoContent)
    def _no_content(_: Request, __: NoContent) -> Response:
        return Response(status_code=204)

    @app.exception_handler(NotFound)
    def _not_found(_: Request, error: NotFound) -> JSONResponse:
        return problem_response(404, str(error))

    @app.exception_handler(BlobMissing)
    def _blob_missing(_: Request, error: BlobMissing) -> JSONResponse:
        return problem_response(404, str(error))

    @app.exception_handler(Conflict)
    def _conflict(_: Request, error: Conflict) -> JSONResponse:
        return problem_response(409, str(error))

    @app.exception_handler(LimitReached)
    def _limit_reached(_: Request, error: LimitReached) -> JSONResponse:
        return limit_response(error)

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {**found, "loc": _without_kind(found["loc"][1:])}
            if found["loc"] and found["loc"][0] in LOCATIONS and found["type"] != "json_invalid"
            else {**found, "loc": found["loc"][:1]}
            for found in error.errors()
        ]
        found_errors = [{**found, "field": found["field"] or "body"} for found in field_errors(errors)]
        wrong = validation_problem(found_errors)
        return problem_response(wrong.status, wrong.detail, wrong.errors)

    @app.exception_handler(HTTPException)
    def _http(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        status = 413 if str(error.detail).startswith("Too many files") else error.status_code  # 400 to Starlette
        if isinstance(error.__cause__, OSError):
            log.error("body_not_kept", exc_info=error.__cause__)
            return problem_response(507, "the request's body cannot be kept: our disk for uploads is full or broken")
        return problem_response(status, str(error.detail), headers=headers)

    @app.exception_handler(DataError)
    def _cannot_be_kept(_: Request, error: DataError) -> JSONResponse:
        log.warning("value_refused", error=str(error.orig))  # PostgreSQL knows no text with a NUL in it
        return problem_response(422, "the request holds a value that no stored one can have")

    def _away(_: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, tuple(PARTS)) and not no_room(error):
            raise error
        return storage_away(error)

    for kind in (*PARTS, OSError):
        app.add_exception_handler(kind, _away)

    @app.exception_handler(Exception)
    def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("request_broke", path=request.url.path, exc_info=error)
        # This answer is made outside the middleware that adds the id to all others.
        headers = {"X-Request-ID": correlation_id.get() or "", **CLOSE_CONNECTION}
        detail = "something went wrong on our side; the log has more under this request's id"
        return problem_response(500, detail, headers=headers)


def no_room(error: Exception) -> bool:
    """A disk is full: that of files, or the database's."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return any(words in str(error) for words in FULL_DISK)
