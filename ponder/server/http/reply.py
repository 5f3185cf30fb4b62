"""Reply bodies are structs: what a handler builds is what /openapi.json describes."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import Response


class JsonReply(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fields with a default are left out where they have it: a client sees a field when there is something in it."""


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")
