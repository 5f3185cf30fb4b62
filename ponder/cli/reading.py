"""While a long prompt is read, a line in the terminal says how far it is; the reply takes its place."""

import sys
from collections.abc import Iterator

from ponder.cli.printer import DIM, RESET
from ponder.core.event import Event
from ponder.engine.handle import Handle

SECONDS = 1.0  # what is read sooner needs no remark


def reading(handle: Handle) -> Iterator[Event]:
    """The events of a request. stdout and a stderr that is no terminal get nothing but them."""
    if sys.stderr.isatty():
        told = False
        for progress in handle.reading(SECONDS):
            line = f"reading the prompt: {progress.processed:,} of {progress.total:,} tokens"
            sys.stderr.write(f"\r{DIM}{line}{RESET}")
            sys.stderr.flush()
            told = True
        if told:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
    yield from handle
