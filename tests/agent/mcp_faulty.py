"""Config of the fault servers, a place for calls, and what is left of their processes."""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from ponder.agent.tools.tool import ToolContext

FAULTS = Path(__file__).parent / "mcp_faults"
MARK = "PONDER_TEST_MARK"


class Marked:
    """Servers whose processes can be found again, wherever they hide: each inherits a mark in its environment."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex

    def server(self, name: str, *args: str, **more: Any) -> dict[str, Any]:
        command = {"command": sys.executable, "args": [str(FAULTS / f"{name}.py"), *args]}
        return {
            **command,
            "env": {MARK: self.mark},
            "connect_timeout": 10,
            "tool_timeout": 1,
            "approval": "auto",
            **more,
        }

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


@contextmanager
def no_orphans(seconds: float = 0.5) -> Iterator[Marked]:
    """What is started inside is gone `seconds` after the end; else it is killed and the test fails."""
    marked = Marked()
    yield marked
    if not marked.gone(seconds):
        left = marked.processes()
        for process in left:
            process.kill()
        raise AssertionError(f"left behind: {left}")


def context(folder: Path, progress: Callable[[str], None] = lambda text: None) -> ToolContext:
    return ToolContext("test", folder, progress)
