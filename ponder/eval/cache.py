"""Answers that were given before: the same model asked the same request need not be asked again.

A file of JSON lines; the key is a digest of the model (its files, template and settings) and of the whole request, seed
included. When only a verifier or a report has changed, everything is graded again and nothing is generated."""

import hashlib
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.request import ChatRequest

Kept = ReasoningDelta | TextDelta | ToolCallDone | Finish


class Line(Struct, frozen=True):
    key: str
    events: tuple[Kept, ...]
    seconds: float


class Cache:
    """Safe for threads. model: what says that two models are the same one."""

    def __init__(self, path: Path, model: Struct) -> None:
        self.path = path
        self.hits = 0
        self._model = msgspec.json.encode(model)
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        if path.exists():
            try:
                lines = [msgspec.json.decode(line, type=Line) for line in path.read_bytes().split(b"\n")[:-1]]
            except msgspec.MsgspecError as e:
                raise UserError(f"{path} is no cache of answers: {e}; delete it", param="cache") from e
            self._lines = {line.key: line for line in lines}

    def key(self, request: ChatRequest) -> str:
        return hashlib.sha256(self._model + b"\0" + msgspec.json.encode(request)).hexdigest()

    def get(self, request: ChatRequest) -> Line | None:
        with self._lock:
            found = self._lines.get(self.key(request))
            self.hits += found is not None
            return found

    def put(self, request: ChatRequest, events: list[Event], seconds: float) -> None:
        """What was cancelled half-way is not kept."""
        kept = tuple(e for e in events if isinstance(e, Kept))
        if isinstance(kept[-1], Finish) and kept[-1].reason == "cancelled":
            return
        line = Line(self.key(request), kept, seconds)
        with self._lock, self.path.open("ab") as file:
            self._lines[line.key] = line
            file.write(msgspec.json.encode(line) + b"\n")
