"""GET / and the two files of the page."""

import html
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from api.public_urls import public_url

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
def page() -> HTMLResponse:
    """Return the page. Behind a proxy it names the path of its links, because its own may have no slash at the end."""
    text = (HERE / "index.html").read_text(encoding="utf-8")
    base = f'<head>\n  <base href="{html.escape(public_url("/"))}">' if public_url("") else "<head>"
    return HTMLResponse(text.replace("<head>", base, 1), headers=HEADERS)


@router.get("/web/app.js")
def script() -> FileResponse:
    return FileResponse(HERE / "app.js", headers=HEADERS, media_type="text/javascript")


@router.get("/web/style.css")
def style() -> FileResponse:
    return FileResponse(HERE / "style.css", headers=HEADERS)
