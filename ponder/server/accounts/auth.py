"""Who may ask (SEC-6): an API key where one is set, another one for pulling and deleting models where others reach the
server, and only names and origins that are ours.

A page in a browser can send requests to a server on the same machine. Its Origin gives it away; one that rebinds DNS to
this address is sent away by the Host header.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ponder.core.client import CLIENT
from ponder.server.accounts.keyring import Keyring
from ponder.server.config import LOOPBACK, ServerConfig
from ponder.server.http.errors import ApiError, error_response

MANAGING_PATHS = (
    "/api/pull",
    "/api/delete",
    "/web/models/pull",
    "/web/models/stop",
)  # what writes to the disk, or takes from it
OPEN_PATHS = ("/health", "/v1/health", "/live", "/web/static/")  # load balancers; the page that asks for a key


class AuthMiddleware:
    """ASGI middleware; refuses before the application sees the request."""

    def __init__(self, app: ASGIApp, config: ServerConfig, keyring: Keyring) -> None:
        self.app = app
        self._keyring = keyring
        self._private = config.host in LOOPBACK and not config.hosts  # else the operator expects others
        self._hosts = LOOPBACK | {name.lower() for name in (config.host, *config.hosts)}
        self._any_host = config.host not in LOOPBACK and not config.hosts  # reached by names we cannot know
        self._origins = set(config.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            client = self._client(headers)
            asks = scope["method"] == "OPTIONS"  # what there is, which says nothing; a browser sends no key with it
            if refused := self._refuse(scope["path"], headers, client, open_=asks):
                return await error_response(scope["path"], refused)(scope, receive, send)
            CLIENT.set(client or "")
        await self.app(scope, receive, send)

    def _refuse(self, path: str, headers: Headers, client: str | None, *, open_: bool) -> ApiError | None:
        host = urlsplit("//" + headers.get("host", "")).hostname or ""
        if not self._any_host and host not in self._hosts:
            text = f"this server does not answer to the name {host!r}; --allow-host adds it"
            return ApiError(403, text, kind="permission_error", code="host_not_allowed")
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and urlsplit(origin).netloc != headers.get("host"):
            text = f"pages of {origin} may not call this server; --allow-origin adds it"
            return ApiError(403, text, kind="permission_error", code="origin_not_allowed")
        if open_:
            return None
        closed = self._keyring.closed()
        if closed and path != "/" and not path.startswith(OPEN_PATHS) and client is None:
            text = "no valid API key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`"
            return ApiError(401, text, kind="authentication_error", code="invalid_api_key")
        if path in MANAGING_PATHS and (closed or not self._private) and not self._keyring.is_admin(client):
            text = f"{path} needs an admin's key (--admin-key-file, or `ponder key create NAME --admin`) on a server "
            text += "that has keys or that others reach"
            return ApiError(403, text, kind="permission_error", code="admin_key_needed")
        return None

    def _client(self, headers: Headers) -> str | None:
        """The name of the key that was sent; None for none of ours."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        sent = bearer or headers.get("x-api-key", "")
        return self._keyring.name_of(sent) if sent else None
