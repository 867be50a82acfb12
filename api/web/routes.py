"""GET / and the files of the page."""

import html

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api.http.public_urls import public_url
from api.web.assets import PAGE, Asset, Assets, load
from core.storage.errors import NotFound

# The page may load scripts, styles and pictures only from this service, call only it, and not be framed. The pictures
# that a user has chosen are shown before they are uploaded: blob.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        *(f"{kind}-src 'self'" for kind in ("connect", "script", "style")),
        "img-src 'self' blob:",
    ]
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
UNCHANGING = "public, max-age=31536000, immutable"
CHANGING = "no-cache"

router = APIRouter(include_in_schema=False)


@router.get("/")
def page() -> HTMLResponse:
    """Return the page. Behind a proxy it names the path of its links, because its own may have no slash at the end."""
    assets = load()
    text = assets.files[PAGE].content.decode().replace("{assets}", f"web/{assets.version}")
    base = f'<base href="{html.escape(public_url("/"))}">' if public_url("") else ""
    text = text.replace("{base}", base).replace("{preloads}", _preloads(assets))
    return HTMLResponse(text, headers={**HEADERS, "Cache-Control": CHANGING})


@router.get("/web/{version}/{path:path}")
def asset(request: Request, version: str, path: str) -> Response:
    """Return a file of the page. A tab opened before an upgrade may ask for an earlier version: it gets this one."""
    assets = load()
    found = assets.files.get(path)
    if found is None:
        raise NotFound("file", path)
    kept = UNCHANGING if version == assets.version else CHANGING
    return _respond(found, {**HEADERS, "Cache-Control": kept}, "gzip" in request.headers.get("accept-encoding", ""))


def _respond(found: Asset, headers: dict[str, str], gzip_accepted: bool) -> Response:
    if found.compressed is None:
        return Response(found.content, headers=headers, media_type=found.media_type)
    headers["Vary"] = "Accept-Encoding"
    if not gzip_accepted:
        return Response(found.content, headers=headers, media_type=found.media_type)
    headers["Content-Encoding"] = "gzip"
    return Response(found.compressed, headers=headers, media_type=found.media_type)


def _preloads(assets: Assets) -> str:
    links = (f'<link rel="modulepreload" href="web/{assets.version}/{path}">' for path in assets.modules)
    return "\n  ".join(links)
