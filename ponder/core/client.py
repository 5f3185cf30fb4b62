"""Who asks, and whether they still wait: set by the front that knows (a server, from the API key and the connection),
read where requests of several meet, and where work is long and has a place to leave it.

Context variables, because they belong to the request that is being served and to nothing that the request says: tasks
and threads (`asyncio.to_thread`) that work for it inherit them. Python cannot end a thread; one that asks now and then
ends by itself when the client has left.
"""

from contextvars import ContextVar
from threading import Event

CLIENT: ContextVar[str] = ContextVar("CLIENT", default="")  # "" where nobody tells clients apart
ABANDONED: ContextVar[Event | None] = ContextVar("ABANDONED", default=None)  # set once nobody waits


class Abandoned(Exception):
    """Nobody waits for the result any more."""


def still_wanted() -> None:
    """Raises Abandoned."""
    gone = ABANDONED.get()
    if gone is not None and gone.is_set():
        raise Abandoned
