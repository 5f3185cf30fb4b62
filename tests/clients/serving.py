"""`ponder serve` as a process of its own, on a free port."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator


@contextlib.contextmanager
def ponder_serve(*arguments: str, seconds: float = 120) -> Iterator[str]:
    """The base URL. The process is asked to end (SIGTERM) at the end, and must do so in time."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "ponder", "serve", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(base + "/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, "ponder serve ended at once"
                assert time.monotonic() < deadline, "ponder serve does not answer"
                time.sleep(0.05)
        yield base
    finally:
        process.terminate()
        process.wait(40)
