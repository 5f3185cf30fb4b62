"""A server of any kind on a free port, for as long as something asks it."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def serving(
    command: Callable[[int], list[str]], log: str | None = None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Its URL and its process, once /health says that it is ready. command: by port. log: where its output goes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with open(log or os.devnull, "ab") as output:
        process = subprocess.Popen(
            command(port), stdout=output, stderr=output, env=os.environ | {"VLLM_NO_USAGE_STATS": "1"}
        )
    try:
        while not _ready(url):
            if process.poll() is not None:
                raise SystemExit(f"it did not come up: {process.args}")
            time.sleep(0.5)
        yield url, process
    finally:
        process.terminate()
        process.wait(60)


def _ready(url: str) -> bool:
    try:
        urllib.request.urlopen(url + "/health", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True
