"""`ponder serve` as a process of its own, on a free port."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from listening import free_port, until_up


@contextlib.contextmanager
def ponder_serve(*arguments: str, seconds: float = 120) -> Iterator[str]:
    """The base URL. The process is asked to end (SIGTERM) at the end, and must do so in time."""
    port = free_port()
    command = [sys.executable, "-m", "ponder", "serve", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        until_up(base + "/health", process, seconds)
        yield base
    finally:
        process.terminate()
        process.wait(40)
