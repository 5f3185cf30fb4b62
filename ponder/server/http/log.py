"""The server's log: one JSON line an event on stderr, without what people wrote unless the operator asks for it.

{"time": "2026-11-22T05:00:00.123+00:00", "level": "info", "event": "request", "id": "chatcmpl-...", ...}
"""

import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ponder.core.client import CLIENT

log = logging.getLogger("ponder.server")
OURS = ("ponder.server", "uvicorn.error", "asyncio", "mcp")


class Lines(logging.Formatter):
    """A record as one line of JSON; `extra={"fields": {...}}` become its fields."""

    def format(self, record: logging.LogRecord) -> str:
        out: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **record.__dict__.get("fields", {}),
        }
        if record.exc_info:
            out["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(out).decode()


class Throttled(logging.Filter):
    """A full table of descriptors is told once a minute, not at every attempt to take a connection; a client that left
    while it was written to is not told at all."""

    MINUTE = 60.0

    def __init__(self) -> None:
        super().__init__()
        self._told = -self.MINUTE

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.getMessage().startswith("socket.accept() out of system resource"):
            return not record.getMessage().startswith("socket.send() raised exception")
        due = record.created - self._told >= self.MINUTE
        self._told = record.created if due else self._told
        return due


def configure(level: str) -> None:
    """Send our records, and those of the HTTP library, to stderr as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    handler.addFilter(Throttled())
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper() if name == "ponder.server" else max(logging.WARNING, logger.level))


def log_event(event: str, **fields: Any) -> None:
    """One line. Nothing is put together when nobody listens."""
    if log.isEnabledFor(logging.INFO):
        log.info(event, extra={"fields": fields})


class RefusalLog:
    """ASGI middleware: a line for every request that got an error status. Bodies are not looked at."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not log.isEnabledFor(logging.INFO):
            await self.app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                fields = {"status": message["status"], "method": scope["method"], "path": scope["path"]}
                whose = {"key": CLIENT.get()} if CLIENT.get() else {}
                log_event("refused", **fields, client=(scope.get("client") or ("",))[0], **whose)
            await send(message)

        await self.app(scope, receive, watched)
