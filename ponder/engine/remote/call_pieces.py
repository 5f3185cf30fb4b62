"""A tool call that another server tells in pieces."""

import json
from typing import Any

import msgspec

from ponder.core.message import ToolCall
from ponder.text.calls.begun_call import ObjectPrefix

Chunk = dict[str, Any]


class CallPieces:
    """A tool call whose pieces are still coming. told: whether its reader knows of it."""

    def __init__(self) -> None:
        self.id = self.name = ""
        self.told = False
        self._pieces: list[str] = []
        self._untold: list[str] = []
        self._is_object = False
        self._prefix = ObjectPrefix()

    @property
    def arguments(self) -> str:
        return "".join(self._pieces)

    def add(self, piece: Chunk) -> None:
        function = piece.get("function") or {}
        self.id = self.id or piece.get("id") or ""
        self.name += function.get("name") or ""
        given = function.get("arguments")
        text = given if isinstance(given, str) else json.dumps(given) if given else ""
        self._pieces.append(text)
        self._untold.append(text)

    def tell(self) -> str:
        """What is new of the arguments and certain: the call may yet turn out to be none (begun_call.py)."""
        self._is_object = self._is_object or self.arguments.lstrip().startswith("{")
        if not (self.name and self._is_object):
            return ""
        text, self._untold = "".join(self._untold), []
        certain = self._prefix.feed(text)
        self.told = self.told or certain != ""
        return certain

    def done(self) -> ToolCall | None:
        """None when the arguments are no JSON object: such a call stays text, as everywhere (TC-5)."""
        arguments = self.arguments or "{}"
        try:
            msgspec.json.decode(arguments, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return None
        return ToolCall(self.name, arguments, self.id)

    @property
    def is_whole(self) -> bool:
        """Its object has ended, so that nothing more can come."""
        return bool(self.arguments) and self.done() is not None
