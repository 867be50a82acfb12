"""The parts of the OpenAPI document that FastAPI cannot derive from the routes: problems and authentication."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI

from api.errors import MEDIA_TYPE

_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "errors": {
            "type": "array",
            "description": "What is wrong: the field of the request and, if it is in a file, the file.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": _TEXT, "message": _TEXT, "file": _TEXT},
            },
        },
    },
}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
    for status, description in {
        "4XX": "The request is invalid or cannot be met.",
        "5XX": "The service is unavailable for now or has failed.",
    }.items()
}


def document_authentication(app: FastAPI) -> None:
    """Have the OpenAPI document of `app` say that a key is sent as a bearer token, and that it may be optional."""
    app.openapi = partial(_with_security, app, app.openapi)  # type: ignore[method-assign]


def _with_security(app: FastAPI, generate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    document = app.openapi_schema or generate()
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]
    return document
