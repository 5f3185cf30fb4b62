"""The page's own files. No script, style, font or frame comes from anywhere else (the policies below)."""

from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ponder.server.http.errors import ApiError

PAGE = (Path(__file__).parent / "static").resolve()
TYPES = {
    ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}  # fmt: skip
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# of what a model wrote, in a frame of its own: it may run, but has no origin, and reaches neither page nor network
PREVIEW = "preview.html"
PREVIEW_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; media-src data:; base-uri 'none'; frame-ancestors 'self'"
)


def routes() -> list[BaseRoute]:
    return [Route("/", page), Route("/web/static/{name:path}", static)]


async def page(request: Request) -> Response:
    """With the languages there are texts in, English first."""
    languages = sorted((path.stem for path in (PAGE / "texts").glob("*.js")), key=lambda code: (code != "en", code))
    raw = (PAGE / "index.html").read_bytes()
    return _reply(request, "index.html", raw.replace(b'content="en"', f'content="{" ".join(languages)}"'.encode()))


async def static(request: Request) -> Response:
    name = request.path_params["name"]
    path = (PAGE / name).resolve()
    if PAGE not in path.parents or path.suffix not in TYPES or not path.is_file():
        raise ApiError(404, f"there is no file {name!r:.100} here")
    return _reply(request, name, path.read_bytes())


def _reply(request: Request, name: str, raw: bytes) -> Response:
    tag = f'"{sha256(raw).hexdigest()[:16]}"'
    headers = {
        "Content-Security-Policy": PREVIEW_POLICY if name == PREVIEW else POLICY, "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache", "ETag": tag,
    }  # fmt: skip
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(raw, media_type=TYPES[Path(name).suffix], headers=headers)
