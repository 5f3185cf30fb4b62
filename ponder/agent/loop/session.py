"""The log of a conversation: one JSON line per event, written as it happens. It can be resumed, replayed and branched.

    ponder agent --session trip.jsonl "Plan a trip"        # killed half-way? the same command goes on
    ponder agent --replay trip.jsonl                        # the same transcript, without a model

The first line tells the format. A line that a crash tore off is dropped on opening; nothing before it is lost. Whatever
else a file holds, it is refused and stays as it is; what is only looked at (a replay, what a branch begins with) is
never written.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from ponder.agent.loop.calls import INTERRUPTED, failure
from ponder.agent.loop.event import CallDone, CallStarted, LoggedEvent, MessageAdded
from ponder.agent.tools.tool import Tool
from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall


class Head(Struct, frozen=True, tag="session"):
    """The first line. conversation: name of the workspace. parent: the session this one branched from, and where."""

    conversation: str
    version: int = 1
    parent: str = ""


Line = Head | LoggedEvent
_HEAD, _START = b'{"type":"session"', b'{"type":"'  # how a first line begins, and how any line does
_decode = msgspec.json.Decoder(Line)
_encode = msgspec.json.Encoder()


class Session:
    """An open log. One process writes it at a time; what is written is on the disk before the run goes on.

    >>> import asyncio, tempfile
    >>> from ponder.agent import Agent, Session
    >>> async def talk(path):
    ...     async with Agent("ponder-mini") as agent:
    ...         with Session(path) as session:
    ...             await agent.start("Hello", session=session).wait()
    ...             return [type(event).__name__ for event in session.events]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(talk(f"{folder}/trip.jsonl"))
    ['MessageAdded', ...'RunDone']
    """

    def __init__(self, path: Path | str, conversation: str = "") -> None:
        """Opens the log, or begins it. Raises UserError for a file that is no session, or is in use."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = open(self.path, "a+b")  # noqa: SIM115  # open as long as the session is
        try:
            _lock(self._file, self.path)
            log = _read(self.path)
        except BaseException:
            self._file.close()
            raise
        self.events = log.events
        self.head = log.head or Head(conversation or self.path.stem)
        if log.torn:  # all that is ever taken out of a file: the start of a line of ours
            self._file.truncate(log.good)
        if log.head is None:
            self._write(self.head)
        elif log.unended:
            self._file.write(b"\n")

    @property
    def conversation(self) -> str:
        """Its name, which names the workspace too."""
        return self.head.conversation

    @property
    def messages(self) -> list[Message]:
        """The history so far."""
        return [e.message for e in self.events if isinstance(e, MessageAdded)]

    def begin(self, messages: Sequence[Message]) -> None:
        """Log what a run starts with, if the log does not have it yet. Raises UserError if it has something else."""
        known = self.messages
        if list(messages[: len(known)]) != known:
            raise UserError(f"{self.path} holds another conversation; branch it, or take a new file", param="session")
        for message in messages[len(known) :]:
            self.add(MessageAdded(message))

    def add(self, event: LoggedEvent) -> None:
        """Log an event. It is on the disk when this returns."""
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
        return branch(self.path, path, messages)

    def begun_from(self, parent: str) -> None:
        """Write the first line of a log without events again, with where it branched from."""
        assert not self.events
        self.head = Head(self.conversation, parent=parent)
        self._file.truncate(0)
        self._write(self.head)

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


def read_session(path: Path | str) -> list[LoggedEvent]:
    """The events of a log that is only looked at. Raises UserError for a file that is none."""
    return _written(Path(path)).events


def branch(source: Path | str, path: Path | str, messages: int) -> Session:
    """A new session with the first so many messages of the log `source`, which is only looked at."""
    events = _written(Path(source)).events
    new = Session(path)
    if new.events:
        new.close()
        raise UserError(f"{path} exists already", param="session")
    new.begun_from(f"{Path(source).name}@{messages}")
    count = 0
    for event in events:
        count += isinstance(event, MessageAdded)
        if count > messages:
            break
        new.add(event)
    return new


class _Log(Struct):
    """What a file holds. good: bytes that are whole lines. torn: the start of a line follows them.
    unended: the last line is whole, but for the end of line."""

    head: Head | None = None
    events: list[LoggedEvent] = []
    good: int = 0
    torn: bool = False
    unended: bool = False


def _written(path: Path) -> _Log:
    if not path.exists():
        raise UserError(f"{path} does not exist", param="session")
    log = _read(path)
    if log.head is None:
        raise UserError(f"{path} is not a session: it is empty", param="session")
    return log


def _read(path: Path) -> _Log:
    """Raises UserError, with the file's name, for anything but a log, a log that a crash tore off, or nothing."""
    log = _Log()
    *whole, last = path.read_bytes().split(b"\n")
    for n, raw in enumerate([*whole, last] if last else whole, 1):
        try:
            line = _decode.decode(raw)
        except msgspec.MsgspecError as e:
            log.torn = n > len(whole) and (_START.startswith(raw[: len(_START)]) if log.head else raw.startswith(_HEAD))
            if log.torn:
                break
            raise UserError(f"{path}, line {n}: not a line of a session ({e})", param="session") from e
        if isinstance(line, Head):
            log.head = log.head or line
        elif log.head is None:
            raise UserError(f"{path} is not a session: its first line does not say so", param="session")
        else:
            log.events.append(line)
        log.good += len(raw) + 1
        log.unended = n > len(whole)
    return log


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(2**31 - 2)  # the byte that is locked, far beyond the text: nobody could read it meanwhile
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as e:
        raise UserError(f"{path} is in use by another program", param="session") from e
