"""Runs a program that a model wrote, in a sandbox of its own, and gives back what it printed."""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from ponder.sandbox.isolation import find
from ponder.sandbox.limits import SandboxLimits
from ponder.sandbox.run import Done, run

SECONDS = 10.0
LIMITS = SandboxLimits(cpu=2)
# some models write the language on a line of its own
FENCED = re.compile(r"```(?:\s*(?:[Pp]ython3?|py))?[ \t]*\n(.*?)(?:```|\Z)", re.S)


def printed(program: str, seconds: float = SECONDS) -> str | None:
    """All that it wrote; None when it failed, or was stopped. Raises UserError where nothing isolates."""
    with tempfile.TemporaryDirectory(prefix="ponder-task-") as folder:
        path = Path(folder)
        (path / "program.py").write_text(program, "utf-8")
        done: Done = asyncio.run(
            run(find(), [sys.executable, "-I", "program.py"], path, timeout=seconds, limits=LIMITS)
        )
    return done.text if done.code == 0 else None


def code_in(text: str, name: str) -> str | None:
    """The last block of code that defines `name`; all of the text where nothing is fenced."""
    defines = re.compile(rf"^\s*(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b", re.M)
    blocks = FENCED.findall(text) or [text]
    return next((block for block in reversed(blocks) if defines.search(block)), None)
