"""Request bodies: bytes -> checked struct, with the offending field named. Unknown fields become warnings."""

import re
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request

from ponder.core.errors import UserError
from ponder.server.config import ServerConfig
from ponder.server.http.errors import ApiError

Value = TypeVar("Value", bound=msgspec.Struct)
BODY: ContextVar[int] = ContextVar("BODY", default=0)  # bytes of the body that is being answered


class Parsed(NamedTuple):
    """value: the struct. warnings: one for every field that the struct does not know."""

    value: Any
    warnings: tuple[str, ...]


async def read_json(request: Request, config: ServerConfig) -> dict[str, Any]:
    """The JSON object of a request. Raises ApiError for a body too large, not JSON or not an object."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > config.max_body:
            raise ApiError(413, f"the body has more than {config.max_body} bytes; the server's limit is --max-body")
        chunks.append(chunk)
    BODY.set(size)
    try:
        raw = msgspec.json.decode(b"".join(chunks))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise ApiError(400, f"the body is not JSON: {e}", param="body") from e
    if not isinstance(raw, dict):
        raise ApiError(400, f"the body must be a JSON object, not {type(raw).__name__}", param="body")
    return raw


def parse(raw: dict[str, Any], type_: type[Value], *, strict: bool) -> Parsed:
    """A null field counts as left out, as clients send them. Raises ApiError naming the field that does not fit."""
    unknown = sorted(set(raw) - set(type_.__struct_encode_fields__))
    if unknown and strict:
        raise ApiError(400, f"unknown field {unknown[0]!r}", code="unknown_field", param=unknown[0])
    try:
        value = msgspec.convert({k: v for k, v in raw.items() if v is not None}, type_)
    except msgspec.ValidationError as e:
        if isinstance(e.__cause__, UserError):
            raise e.__cause__ from e
        raise _misfit(str(e)) from e
    return Parsed(value, tuple(f"unknown field {name!r} was ignored" for name in unknown))


def _misfit(message: str) -> ApiError:
    """msgspec's "Object missing required field `b` - at `$.a`" -> an error of the field a.b."""
    text, _, place = message.partition(" - at `")
    field = place.rstrip("`").removeprefix("$").removeprefix(".")
    if missing := re.fullmatch(r"Object missing required field `(.+)`", text):
        field, text = f"{field}.{missing[1]}".removeprefix("."), "this field is required"
    return ApiError(400, f"{field or 'body'}: {text}", param=field or "body")
