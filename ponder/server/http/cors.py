"""What lets a web page of another origin in (CORS): answers to its browser's preflights, and headers that let it read
the replies. Preflights carry no key and need none; what follows them does."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from ponder.server.config import ServerConfig

EXPOSED = ("Retry-After", "Mcp-Session-Id")  # further headers that a page may read


def cors(app: ASGIApp, config: ServerConfig) -> ASGIApp:
    """Middleware for the origins of the operator. Outside of the guard, so that a page can read why it was refused."""
    if not config.origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=config.origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED,
        allow_private_network=True,  # a page on the web and a server at home, as the operator named it
    )
