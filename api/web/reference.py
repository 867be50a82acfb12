"""GET /docs and /redoc: the API reference. Its scripts are files of the package fastapi-offline, not of other servers.

The addresses are relative to the page, so that it works below any prefix.
"""

import importlib.util
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from api.http.openapi import TITLE

# The pages start by a script in themselves, set styles, and show pictures that are part of them.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "worker-src blob:",
    ]
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
NO_ICON = "data:,"

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def swagger_ui() -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=TITLE,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url=NO_ICON,
    )
    return HTMLResponse(page.body, headers=HEADERS)


@router.get("/redoc")
def redoc() -> HTMLResponse:
    page = get_redoc_html(
        openapi_url="openapi.json",
        title=TITLE,
        redoc_js_url="docs/redoc.standalone.js",
        redoc_favicon_url=NO_ICON,
        with_google_fonts=False,
    )
    return HTMLResponse(page.body, headers=HEADERS)


@router.get("/docs/swagger-ui-bundle.js")
def swagger_ui_script() -> FileResponse:
    return _file("swagger-ui-bundle.js")


@router.get("/docs/swagger-ui.css")
def swagger_ui_style() -> FileResponse:
    return _file("swagger-ui.css")


@router.get("/docs/redoc.standalone.js")
def redoc_script() -> FileResponse:
    return _file("redoc.standalone.js")


def _file(name: str) -> FileResponse:
    package = importlib.util.find_spec("fastapi_offline")  # not imported: only its files are used
    assert package is not None
    assert package.origin is not None
    return FileResponse(Path(package.origin).parent / "static" / name, headers=HEADERS)
