"""Maps exceptions, including those of core/, to responses in the form application/problem+json (RFC 9457)."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from core.schemas.classification import ClassifyParams
from core.schemas.inpainting import InpaintParams
from core.schemas.jobs import JobKind
from core.schemas.learning import LearningParams
from core.schemas.reconstruction import ReconstructParams
from core.schemas.sampling import SampleParams
from core.storage.blobs import BlobMissing
from core.storage.database import UnknownCommit
from core.storage.errors import Conflict, LimitReached, NotFound
from core.storage.failures import SERVICES, is_disk_full, unavailable_service

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "5"
CLOSE_CONNECTION = {"Connection": "close"}
LOCATIONS = ("body", "query", "path", "header")
PARAMETERS: dict[str, Iterable[str]] = {  # by the kind of a job
    JobKind.TRAIN: LearningParams.model_fields,
    JobKind.SAMPLE: SampleParams.model_fields,
    JobKind.RECONSTRUCT: ReconstructParams.model_fields,
    JobKind.INPAINT: InpaintParams.model_fields,
    JobKind.CLASSIFY: ClassifyParams.model_fields,
}

log = structlog.get_logger()


class Problem(Exception):
    """An error response. `errors` lists what is wrong: each has a field, a message and, for an upload, a file."""

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
    """Answer 204 with no body. Not an error."""


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


def unavailable_response(error: Exception) -> JSONResponse:
    """Return 507 if a disk is full, else 503 naming the service that `error` says is unavailable."""
    if is_disk_full(error):
        log.warning("disk_full", error=str(error))
        return problem_response(507, "the disk is full; nothing was changed")
    log.warning("service_unavailable", error=str(error))
    outcome = (
        "it is not known whether the change took effect" if isinstance(error, UnknownCommit) else "nothing was changed"
    )
    detail = f"the {unavailable_service(error)} is unavailable at the moment; {outcome}"
    return problem_response(503, detail, headers={"Retry-After": RETRY_AFTER_SECONDS})


def unexpected_response(path: str, error: Exception) -> JSONResponse:
    """Log an error that nothing handles, and return 500."""
    log.error("request_broke", path=path, exc_info=error)
    detail = "internal error; the server's log has the details under this request's id"
    return problem_response(500, detail, headers=CLOSE_CONNECTION)


def field_name(location: Sequence[int | str]) -> str:
    """Return the location as a path: ("params", "layers", 0, "filters") -> params.layers[0].filters"""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name


def field_errors(
    errors: Sequence[Any], prefix: Sequence[int | str] = (), parameters: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Convert pydantic's errors to our form: the field (below `prefix`) and the message.

    parameters: names, the nearest of which is suggested in place of an unknown one.
    """
    located = [((*prefix, *_location(error)), error) for error in errors if not _follows_from_another(error, errors)]
    return [
        {"field": field_name(location), "message": _message(location, error, parameters)} for location, error in located
    ]


def _message(location: Sequence[int | str], error: Any, parameters: Iterable[str]) -> str:
    """Return pydantic's message, or one of our own where pydantic speaks of its own types."""
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden" if location == ("name",):
            return "does not belong here; a training job names its model by model_name"
        case "extra_forbidden" if "params" in location[:-1]:
            similar = get_close_matches(str(location[-1]), parameters, n=1)
            return f"is not a parameter; did you mean {similar[0]}?" if similar else "is not a parameter"
        case "extra_forbidden":
            return "does not belong here"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}"
        case "too_short":
            return f"must have at least {counted(context['min_length'], 'item')}"
        case "too_long":
            return f"must have at most {counted(context['max_length'], 'item')}"
        case "union_tag_not_found":
            return f"is missing; it is one of {', '.join(JobKind)}"
        case "union_tag_invalid":
            return f"must be one of {', '.join(JobKind)}"
        case "model_type" | "model_attributes_type":
            return "must be a JSON object"
    return re.sub("^Input should ", "must ", str(error["msg"]).removeprefix("Value error, "))


def counted(count: int, noun: str) -> str:
    """Return a number of things in words, such as "1 channel"; noun: in the singular, with a plural in s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _location(error: Any) -> Sequence[int | str]:
    """Return where the error is. If the tag of a union is missing or unknown, that is the tag's field.

    The only such union is that of the kinds of jobs.
    """
    location = tuple(error["loc"])
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        return (*location, error["ctx"]["discriminator"].strip("'"))
    return location


def _follows_from_another(error: Any, errors: Sequence[Any]) -> bool:
    """Return True if a list is called too short only because pydantic dropped its invalid items."""
    location = tuple(error["loc"])
    inside = (tuple(other["loc"]) for other in errors)
    return error["type"] == "too_short" and any(
        len(other) > len(location) and other[: len(location)] == location for other in inside
    )


def _request_errors(error: RequestValidationError) -> list[dict[str, Any]]:
    """Return the errors of a request in our form, without the part of the request that FastAPI puts in front."""
    located = [
        {**found, "loc": _without_kind(found["loc"][1:])}
        if found["loc"] and found["loc"][0] in LOCATIONS and found["type"] != "json_invalid"
        else {**found, "loc": found["loc"][:1]}
        for found in error.errors()
    ]
    kinds = [str(found["loc"][1]) for found in error.errors() if len(found["loc"]) > 1]
    parameters = next((PARAMETERS[kind] for kind in kinds if kind in PARAMETERS), ())
    return [{**found, "field": found["field"] or "body"} for found in field_errors(located, parameters=parameters)]


def _without_kind(location: Sequence[int | str]) -> Sequence[int | str]:
    """Drop the job's kind, which pydantic puts in front of every location in a job's body."""
    return location[1:] if location and location[0] in set(JobKind) else location


def validation_problem(errors: Sequence[dict[str, Any]]) -> Problem:
    """Return a 422 problem for invalid fields. Its detail repeats the first three errors."""
    return Problem(422, "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3]), errors)


def install(app: FastAPI) -> None:
    """Register the exception handlers."""

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
        problem = validation_problem(_request_errors(error))
        return problem_response(problem.status, problem.detail, problem.errors)

    @app.exception_handler(HTTPException)
    def _http(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        # Starlette answers 400 if a form has too many files.
        status = 413 if str(error.detail).startswith("Too many files") else error.status_code
        if isinstance(error.__cause__, OSError):
            log.error("body_not_stored", exc_info=error.__cause__)
            return problem_response(507, "the request body could not be stored: the server's disk is full or failing")
        return problem_response(status, str(error.detail), headers=headers)

    @app.exception_handler(DataError)
    def _value_refused(_: Request, error: DataError) -> JSONResponse:
        log.warning("value_refused", error=str(error.orig))  # for example, PostgreSQL stores no text with a NUL
        return problem_response(422, "the request contains a value that cannot be stored")

    def _unavailable(_: Request, error: Exception) -> JSONResponse:
        if unavailable_service(error) is None and not is_disk_full(error):
            raise error
        return unavailable_response(error)

    for kind in (*SERVICES, OSError):
        app.add_exception_handler(kind, _unavailable)

    @app.exception_handler(Exception)
    def _unexpected(request: Request, error: Exception) -> JSONResponse:
        """Answer for an error in the middlewares around UnexpectedErrorMiddleware, one of which adds the id."""
        response = unexpected_response(request.url.path, error)
        response.headers["X-Request-ID"] = correlation_id.get() or ""
        return response
