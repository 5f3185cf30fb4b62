"""Asking a teacher. What it said is kept, a line a reply, before more is asked: nothing is asked or paid for twice."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ponder.core.event import TextDelta
from ponder.core.message import Message
from ponder.core.params import SamplingParams, Thinking
from ponder.core.protocol import ChatModel
from ponder.core.request import ChatRequest

Reply = TypeVar("Reply", bound=Struct)
Job = TypeVar("Job")


def reply(model: ChatModel, instructions: str, question: str, sampling: SamplingParams) -> str:
    """The text of its answer, without thoughts."""
    request = ChatRequest(
        messages=(Message.system(instructions), Message.user(question)), sampling=sampling,
        thinking=Thinking(enabled=False),
    )  # fmt: skip
    return "".join(event.text for event in model.stream(request) if isinstance(event, TextDelta))


def kept_replies(kept: Path, type_: type[Reply]) -> Iterator[Reply]:
    """The replies in a file; an end that was cut off when the run was killed is left out."""
    for line in kept.read_bytes().split(b"\n") if kept.exists() else ():
        try:
            yield msgspec.json.decode(line, type=type_)
        except (msgspec.DecodeError, UnicodeError):
            continue


def keep(kept: Path, line: Struct) -> None:
    """One more. Not for two threads at once."""
    with kept.open("ab") as file:
        if file.tell() and not _ends_a_line(kept):
            file.write(b"\n")
        file.write(msgspec.json.encode(line) + b"\n")


def ask_all(
    work: Callable[[Job, threading.Event], None], jobs: Sequence[Job], in_flight: int, tick: Callable[[int], None]
) -> None:
    """Every job in a thread, `in_flight` at a time. tick: how many are done. The first error is raised, and ends the
    others, which look at the event between their questions."""
    stop = threading.Event()
    with ThreadPoolExecutor(in_flight, thread_name_prefix="teacher") as pool:
        try:
            for n, future in enumerate(as_completed([pool.submit(work, job, stop) for job in jobs]), 1):
                future.result()
                tick(n)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _ends_a_line(kept: Path) -> bool:
    with kept.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
