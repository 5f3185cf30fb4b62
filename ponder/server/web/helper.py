"""The helper process of a server (`server/runtime/helpers.py`): jobs on stdin, results on stdout, one after the other.

Ends with its server, whose end of stdin closes, and when a job takes longer than its server would wait.
"""

import os
import sys
from importlib import import_module
from typing import Any, BinaryIO

import msgspec

from ponder.server.http.errors import ApiError

JOBS = {  # where each is: a process imports what it is asked for, and answers the sooner
    "to_html": "ponder.server.web.markdown.html",
    "read": "ponder.server.web.documents.reading",
    "catalogue": "ponder.server.web.models.catalogue",
    "best_passages": "ponder.server.web.documents.passages",
}
HEADER = 8
MEMORY = 4 << 30  # bytes of address space
GRACE = 5  # seconds that its server has, to end it before it ends itself


def main() -> None:
    seconds = float(sys.argv[1])
    with os.fdopen(os.dup(0), "rb") as jobs, os.fdopen(os.dup(1), "wb") as results:
        os.dup2(2, 1)  # what a library prints is no result
        _limit()
        while len(header := jobs.read(HEADER)) == HEADER:
            _alarm(seconds + GRACE)
            job, *arguments = msgspec.msgpack.decode(jobs.read(int.from_bytes(header, "big")))
            found = _done(job, arguments)
            _alarm(0)
            _send(results, msgspec.msgpack.encode(found))


def _done(job: str, arguments: list[Any]) -> tuple[bool, Any]:
    """(True, the result), or (False, what an ApiError says)."""
    try:
        return True, vars(import_module(JOBS[job]))[job](*arguments)
    except ApiError as e:
        return False, (e.status, e.message, e.param)


def _send(results: BinaryIO, raw: bytes) -> None:
    results.write(len(raw).to_bytes(HEADER, "big") + raw)
    results.flush()


def _limit() -> None:
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.nice(5)  # the models come first


def _alarm(seconds: float) -> None:
    """Whose server is gone, and cannot end it, ends by itself."""
    if sys.platform != "win32":
        import signal

        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
