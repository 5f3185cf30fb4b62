"""The log of a conversation: one JSON line per event, written as it happens. It can be resumed, replayed and branched.

    ponder agent --session trip.jsonl "Plan a trip"        # killed half-way? the same command goes on
    ponder agent --replay trip.jsonl                        # the same transcript, without a model

The first line tells the format. A line that a crash tore off is dropped on opening; nothing before it is lost.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from ponder.agent.calls import INTERRUPTED, failure
from ponder.agent.event import CallDone, CallStarted, Kept, Said
from ponder.agent.tool import Tool
from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall


class Head(Struct, frozen=True, tag="session"):
    """The first line. conversation: name of the workspace. parent: the session this one branched from, and where."""

    conversation: str
    version: int = 1
    parent: str = ""


Line = Head | Kept
_decode = msgspec.json.Decoder(Line)
_encode = msgspec.json.Encoder()


class Session:
    """An open log. One process writes it at a time; what is written is on the disk before the run goes on."""

    def __init__(self, path: Path | str, conversation: str = "") -> None:
        """Opens the log, or begins it. Raises UserError for a file that is no session, or is in use."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = open(self.path, "a+b")  # noqa: SIM115  # open as long as the session is
        _lock(self._file, self.path)
        self.events: list[Kept] = []
        lines, good = _read(self.path)
        if not lines:
            self.head = Head(conversation or self.path.stem)
            self._file.truncate(0)
            self._write(self.head)
            return
        self._file.truncate(good)
        head, *events = lines
        if not isinstance(head, Head):
            raise UserError(f"{self.path} is not a session: its first line does not say so", param="session")
        self.head = head
        self.events = [e for e in events if not isinstance(e, Head)]

    @property
    def conversation(self) -> str:
        return self.head.conversation

    @property
    def messages(self) -> list[Message]:
        return [e.message for e in self.events if isinstance(e, Said)]

    def begin(self, messages: Sequence[Message]) -> None:
        """Log what a run starts with, if the log does not have it yet. Raises UserError if it has something else."""
        known = self.messages
        if list(messages[: len(known)]) != known:
            raise UserError(f"{self.path} holds another conversation; branch it, or take a new file", param="session")
        for message in messages[len(known) :]:
            self.add(Said(message))

    def add(self, event: Kept) -> None:
        self.events.append(event)
        self._write(event)

    def interrupted(self, calls: Iterable[tuple[ToolCall, Tool]]) -> dict[str, CallDone]:
        """Of open calls those that had been started when the program ended: their results, or that nobody knows."""
        started = {e.call.id for e in self.events if isinstance(e, CallStarted)}
        done = {e.call_id: e for e in self.events if isinstance(e, CallDone)}
        lost = failure(INTERRUPTED)
        return {c.id: done.get(c.id, CallDone(c.id, lost)) for c, _ in calls if c.id in started}

    def branch(self, path: Path | str, messages: int) -> "Session":
        """A new session with the first so many messages of this one."""
        new = Session(path)
        if new.events:
            raise UserError(f"{path} exists already", param="session")
        kept, count = [], 0
        for event in self.events:
            count += isinstance(event, Said)
            if count > messages:
                break
            kept.append(event)
        new.head = Head(new.conversation, parent=f"{self.path.name}@{messages}")
        new._file.truncate(0)
        new._write(new.head)
        for event in kept:
            new.add(event)
        return new

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *args: Any) -> None:
        self.close()

    def _write(self, line: Line) -> None:
        self._file.write(_encode.encode(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_session(path: Path | str) -> list[Kept]:
    """The events of a log that is only looked at. Raises UserError for a file that is none."""
    lines, _ = _read(Path(path))
    if not lines or not isinstance(lines[0], Head):
        raise UserError(f"{path} is not a session", param="session")
    return [line for line in lines if not isinstance(line, Head)]


def _read(path: Path) -> tuple[list[Line], int]:
    """The lines, and how many bytes of the file they are."""
    lines: list[Line] = []
    good = 0
    for n, raw in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            lines.append(_decode.decode(raw))
        except msgspec.MsgspecError as e:
            raise UserError(f"{path}, line {n}: not a line of a session ({e})", param="session") from e
        good += len(raw) + 1
    return lines, good


def _lock(file: BinaryIO, path: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        raise UserError(f"{path} is in use by another program", param="session") from e
