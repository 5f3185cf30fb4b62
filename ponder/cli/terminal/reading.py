"""While a long prompt is read, a line in the terminal says how far it is; what follows takes its place."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ponder.cli.terminal.printer import DIM, RESET

if TYPE_CHECKING:
    from ponder.core.event import Event
    from ponder.engine.scheduling.handle import Handle

SECONDS = 1.0  # what is read sooner needs no remark


def reading(handle: "Handle") -> "Iterator[Event]":
    """The events of a request, with the line before them."""
    shown = False
    for progress in handle.reading(SECONDS):
        shown = show_line(progress.processed, progress.total)
    if shown:
        clear_line()
    yield from handle


def show_line(processed: int, total: int) -> bool:
    """Whether it was shown: only a person in a terminal is told."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{DIM}reading the prompt: {processed:,} of {total:,} tokens{RESET}")
        sys.stderr.flush()
    return sys.stderr.isatty()


def clear_line() -> None:
    sys.stderr.write("\r\x1b[K")
    sys.stderr.flush()
