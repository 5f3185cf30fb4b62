"""Whether somebody still waits for what a thread works at: set by whoever gave it the work, asked where the work is
long and has a place to leave it.

Python cannot end a thread. One that asks now and then ends by itself when the client has left.
"""

from contextvars import ContextVar
from threading import Event

ABANDONED: ContextVar[Event | None] = ContextVar("ABANDONED", default=None)


class Abandoned(Exception):
    """Nobody waits for the result any more."""


def still_wanted() -> None:
    """Raises Abandoned."""
    gone = ABANDONED.get()
    if gone is not None and gone.is_set():
        raise Abandoned
