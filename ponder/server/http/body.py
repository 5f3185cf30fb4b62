"""Request bodies: bytes -> checked struct, with the offending field named. Unknown fields become warnings."""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from ponder.core.client import CLIENT
from ponder.core.errors import UserError
from ponder.server.config import ServerConfig
from ponder.server.http.bounds import check_bytes, check_counts
from ponder.server.http.errors import ApiError

Value = TypeVar("Value", bound=msgspec.Struct)
BODY: ContextVar[int] = ContextVar("BODY", default=0)  # bytes of the body that is being answered


class BodyBudget:
    """Bytes that the bodies being answered may take: those of one client, and all. What is small is always taken."""

    SMALL = 1 << 16

    def __init__(self, each: int, total: int) -> None:
        self._each, self._total = each, total
        self._taken: Counter[str] = Counter()

    @contextlib.contextmanager
    def room(self) -> Iterator[Callable[[int], None]]:
        """Yields what takes the bytes of one body as they come, or raises ApiError 429 or 503."""
        client, size, taken = CLIENT.get(), 0, 0

        def take(count: int) -> None:
            nonlocal size, taken
            size += count
            more = max(0, size - self.SMALL) - taken
            if self._taken[client] + more > self._each:
                text = "bodies of this API key that are being read take too much memory; try again soon"
                raise ApiError(429, text, kind="rate_limit_error", code="key_limit", retry_after=1)
            if self._taken.total() + more > self._total:
                text = "the bodies that are being read take too much memory; try again soon"
                raise ApiError(503, text, kind="server_error", code="busy", retry_after=1)
            self._taken[client] += more
            taken += more

        try:
            yield take
        finally:
            self._taken[client] -= taken


async def read_body(request: Request, config: ServerConfig, take: Callable[[int], None]) -> bytes:
    """Raises ApiError for a body too large, and for one that breaks off."""
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > config.max_body:
                text = f"the body has more than {config.max_body} bytes; the server's limit is --max-body"
                raise ApiError(413, text, param="body")
            take(len(chunk))
            chunks.append(chunk)
    except ClientDisconnect as e:
        raise ApiError(499, "the client closed the connection before its body was whole") from e
    BODY.set(size)
    return b"".join(chunks)


def json_object(body: bytes) -> dict[str, Any]:
    """Raises ApiError for what is not JSON, not an object, or holds too many things."""
    check_bytes(body)
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise ApiError(400, f"the body is not JSON: {e}", param="body") from e
    if not isinstance(raw, dict):
        raise ApiError(400, f"the body must be a JSON object, not {type(raw).__name__}", param="body")
    check_counts(raw)
    return raw


def parse(raw: dict[str, Any], type_: type[Value], *, strict: bool) -> tuple[Value, tuple[str, ...]]:
    """-> the struct, and a warning for every field that it does not know. A null field counts as left out, as clients
    send them. Raises ApiError naming the field that does not fit."""
    unknown = sorted(set(raw) - set(type_.__struct_encode_fields__))
    if unknown and strict:
        raise ApiError(400, f"unknown field {unknown[0]!r}", code="unknown_field", param=unknown[0])
    try:
        value = msgspec.convert({k: v for k, v in raw.items() if v is not None}, type_)
    except msgspec.ValidationError as e:
        if isinstance(e.__cause__, UserError):
            raise e.__cause__ from e
        raise _misfit(str(e)) from e
    return value, tuple(f"unknown field {name!r} was ignored" for name in unknown)


def _misfit(message: str) -> ApiError:
    """msgspec's "Object missing required field `b` - at `$.a`" -> an error of the field a.b."""
    text, _, place = message.partition(" - at `")
    field = place.rstrip("`").removeprefix("$").removeprefix(".")
    if missing := re.fullmatch(r"Object missing required field `(.+)`", text):
        field, text = f"{field}.{missing[1]}".removeprefix("."), "this field is required"
    return ApiError(400, f"{field or 'body'}: {text}", param=field or "body")
