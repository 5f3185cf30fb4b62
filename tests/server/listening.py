"""Any ASGI application on a free port, in a thread; a free port for a process of its own, and the wait for that."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp


@contextlib.contextmanager
def listening(app: ASGIApp, **config: Any) -> Iterator[str]:
    """Its base URL. config: of uvicorn."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        running = uvicorn.Server(uvicorn.Config(app, **{"log_level": "error", **config}))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            running.should_exit = True
            thread.join(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_up(url: str, process: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    """Returns when the process answers there, whatever it says; fails when it ends first, or takes longer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            httpx.get(url)
            return
        except httpx.TransportError:
            assert process.poll() is None, f"what should answer at {url} ended at once"
            assert time.monotonic() < deadline, f"nothing answers at {url}"
            time.sleep(0.05)
