"""Who may ask (SEC-6): an API key where one is set, another one for pulling and deleting models where others reach the
server, and only names and origins that are ours.

A page in a browser can send requests to a server on the same machine. Its Origin gives it away; one that rebinds DNS to
this address is sent away by the Host header. Keys are compared in constant time.
"""

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ponder.core.client import CLIENT
from ponder.server.config import LOOPBACK, ServerConfig
from ponder.server.http.errors import ApiError, error_response
from ponder.server.runtime.keys import client_names

MANAGING_PATHS = (
    "/api/pull",
    "/api/delete",
    "/web/models/pull",
    "/web/models/stop",
)  # what writes to the disk, or takes from it
OPEN_PATHS = ("/health", "/web/static/")  # for load balancers, and the page that asks for the key


class AuthMiddleware:
    """ASGI middleware; refuses before the application sees the request."""

    def __init__(self, app: ASGIApp, config: ServerConfig) -> None:
        self.app = app
        names = client_names((*config.api_keys, *config.admin_keys), config.key_names)
        self._keys = {key.encode(): name for key, name in names.items()}
        self._managers = {names[key] for key in config.admin_keys}
        # with a key or a further name the operator expects others
        self._anybody_manages = config.host in LOOPBACK and not self._keys and not config.hosts
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
        if self._keys and path != "/" and not path.startswith(OPEN_PATHS) and client is None:
            text = "no valid API key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`"
            return ApiError(401, text, kind="authentication_error", code="invalid_api_key")
        if path in MANAGING_PATHS and not self._anybody_manages and client not in self._managers:
            text = f"{path} needs a key of --admin-key-file on a server that has keys or that others reach"
            return ApiError(403, text, kind="permission_error", code="admin_key_needed")
        return None

    def _client(self, headers: Headers) -> str | None:
        """The name of the key that was sent; None for none of ours."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        sent = (bearer or headers.get("x-api-key", "")).encode()
        matches = [name for key, name in self._keys.items() if hmac.compare_digest(sent, key)]  # every key is compared
        return matches[0] if matches else None
