"""GET / and the two files of the page."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

HERE = Path(__file__).parent
# The page may load scripts, styles and pictures only from this service, call only it, and not be framed.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        *(f"{kind}-src 'self'" for kind in ("connect", "img", "script", "style")),
    ]
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


@router.get("/")
def page() -> FileResponse:
    return FileResponse(HERE / "index.html", headers=HEADERS)


@router.get("/web/app.js")
def script() -> FileResponse:
    return FileResponse(HERE / "app.js", headers=HEADERS, media_type="text/javascript")


@router.get("/web/style.css")
def style() -> FileResponse:
    return FileResponse(HERE / "style.css", headers=HEADERS)
