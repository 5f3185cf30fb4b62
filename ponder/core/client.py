"""Who asks: set by the front that knows (a server, from the API key), read where requests of several meet.

A context variable, because it belongs to the request that is being served and to nothing that the request says: tasks
and threads (`asyncio.to_thread`) that work for it inherit it.
"""

from contextvars import ContextVar

CLIENT: ContextVar[str] = ContextVar("CLIENT", default="")  # "" where nobody tells clients apart
