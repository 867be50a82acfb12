"""The parts of the OpenAPI document that FastAPI cannot derive from the routes: problems, authentication and files."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.errors import MEDIA_TYPE

TITLE = "genconvnet"
OCTETS = "application/octet-stream"
BINARY: Mapping[str, Any] = {"type": "string", "format": "binary"}  # generators of clients know no other word for bytes
_TEXT = {"type": "string"}
_PROBLEM_ERROR = {
    "type": "object",
    "title": "ProblemError",
    "required": ["field", "message"],
    "properties": {"field": _TEXT, "message": _TEXT, "file": _TEXT},
}
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
            "items": {"$ref": "#/components/schemas/ProblemError"},
        },
    },
}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, description in {
        "4XX": "The request is invalid or cannot be met.",
        "5XX": "The service is unavailable for now or has failed.",
    }.items()
}


def file_response(media_type: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that sends a file.

    It also names OCTETS, the one media type whose content every generated client returns as it is.
    """
    content = {kind: {"schema": BINARY} for kind in (media_type, OCTETS)}
    return {200: {"description": "The file.", "content": content}}


def form_body(required: list[str], **fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads a form of `fields`, each a JSON schema."""
    schema = {"type": "object", "properties": fields, **({"required": required} if required else {})}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation, which is that of its function in a generated client, such as jobs_create."""
    return "_".join([*map(str, route.tags[:1]), route.name])


def complete_document(app: FastAPI) -> None:
    """Have the OpenAPI document of `app` describe problems, and say that a key is sent as a bearer token, if any."""
    app.openapi = partial(_completed, app, app.openapi)  # type: ignore[method-assign]


def _completed(app: FastAPI, generate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    document = app.openapi_schema or generate()
    for operations in document["paths"].values():
        for operation in operations.values():
            _describe_stream(operation)
    document["components"]["schemas"] |= {"Problem": _PROBLEM, "ProblemError": _PROBLEM_ERROR}
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]
    return document


def _describe_stream(operation: dict[str, Any]) -> None:
    """Describe an event stream as text: FastAPI does it by a word of OpenAPI 3.2, and the document is 3.1."""
    for response in operation["responses"].values():
        if (stream := response.get("content", {}).get("text/event-stream")) is not None:
            stream.clear()
            stream["schema"] = {"type": "string", "description": "Server-sent events, whose data is JSON."}
