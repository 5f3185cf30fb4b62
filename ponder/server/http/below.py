"""The server below a path of another one: https://example.org/ponder/ instead of https://ponder.example.org/."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Below:
    """ASGI middleware: takes the prefix off, where the proxy has not done so. prefix: "/ponder"."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] + "/").startswith(f"{self._prefix}/"):
            raw = scope.get("raw_path", b"").removeprefix(self._prefix.encode())
            scope = {**scope, "path": scope["path"].removeprefix(self._prefix) or "/", "raw_path": raw or b"/"}
        await self.app(scope, receive, send)
