"""How many things one body may hold. A megabyte of small things takes longer to convert than a megabyte of text, on the
event loop, where everybody waits.

Counted are containers and what one of them holds; how long a text may be is for who reads it.
"""

from typing import Any

from ponder.server.http.errors import ApiError

BRACES = 500_000  # of the bytes, those in texts too: beyond, even reading the JSON takes long
TEXTS = 500_000  # of the bytes: names of fields and other texts
CONTAINERS = 50_000  # objects and lists in all
THINGS = 10_000  # objects, lists or texts in one list; fields of one object
NUMBERS = 1 << 20  # in one list: token ids
TOOLS = 1024


def check_bytes(raw: bytes) -> None:
    """Raises ApiError 400 before anything is converted."""
    if len(raw) > BRACES and raw.count(b"{") + raw.count(b"[") > BRACES:
        raise ApiError(400, f"the body holds more than {BRACES} objects and lists", code="too_many", param="body")
    if len(raw) > 2 * TEXTS and _quotes(raw) > 2 * TEXTS:
        raise ApiError(400, f"the body holds more than {TEXTS} fields and texts", code="too_many", param="body")


def _quotes(raw: bytes) -> int:
    """Those that are not escaped, and of texts in texts in texts some that are: never too few."""
    return raw.count(b'"') - raw.count(b'\\"') + raw.count(b'\\\\"')


def check_counts(body: dict[str, Any]) -> None:
    """Raises ApiError 400 naming the field."""
    if isinstance(tools := body.get("tools"), list) and len(tools) > TOOLS:
        raise _too_many("tools", "tools", TOOLS)
    count = 0
    todo: list[tuple[str, Any]] = [("body", body)]
    while todo:
        field, value = todo.pop()
        count += 1
        if count > CONTAINERS:
            raise _too_many(field, "objects and lists in all", CONTAINERS)
        if len(value) > THINGS:
            _check_length(field, value)
        found = value.items() if isinstance(value, dict) else ((field, v) for v in value)
        todo += [(name if field == "body" else field, v) for name, v in found if isinstance(v, dict | list)]


def _check_length(field: str, value: Any) -> None:
    if isinstance(value, dict):
        raise _too_many(field, "fields in one object", THINGS)
    if len(value) > NUMBERS:  # before each is looked at
        raise _too_many(field, "numbers in one list", NUMBERS)
    if not all(isinstance(v, int | float) for v in value):
        raise _too_many(field, "items in one list", THINGS)


def _too_many(field: str, what: str, limit: int) -> ApiError:
    return ApiError(400, f"{field}: at most {limit} {what}", code="too_many", param=field)
