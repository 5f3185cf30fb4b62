"""What teachers said, a line a reply: kept before the next is asked for, so that nothing is asked or paid for twice."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

Reply = TypeVar("Reply", bound=Struct)
Job = TypeVar("Job")


def said(kept: Path, type_: type[Reply]) -> Iterator[Reply]:
    """The replies in a file; an end that was cut off when the run was killed is left out."""
    for line in kept.read_bytes().split(b"\n") if kept.exists() else ():
        try:
            yield msgspec.json.decode(line, type=type_)
        except (msgspec.DecodeError, UnicodeError):
            continue


def keep(kept: Path, reply: Struct) -> None:
    """One more. Not for two threads at once."""
    with kept.open("ab") as file:
        if file.tell() and not _ends_a_line(kept):
            file.write(b"\n")
        file.write(msgspec.json.encode(reply) + b"\n")


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
