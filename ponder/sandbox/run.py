"""Run one command in a sandbox of its own and wait for it.

done = await run(find(), ["bash", "-c", "ls -l"], workspace, timeout=10)
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ponder.sandbox.launch import Isolation
from ponder.sandbox.limits import SandboxLimits
from ponder.sandbox.process import start


class Done(Struct, frozen=True):
    """text: output, stdout and stderr as they came. code: exit code, None if it was killed. problem: why it was killed,
    in a sentence; "" if it ended by itself."""

    text: str
    code: int | None
    problem: str


async def run(
    isolation: Isolation,
    command: Sequence[str],
    workspace: Path,
    *,
    timeout: float,
    limits: SandboxLimits | None = None,
) -> Done:
    """Returns after `timeout` seconds at the latest, and then nothing of the command is left, nor when cancelled."""
    sandboxed = await start(isolation, command, workspace, limits or SandboxLimits(), stdin=False)
    problem = ""
    try:
        async with asyncio.timeout(timeout):
            await sandboxed.process.wait()
    except TimeoutError:
        problem = f"stopped after {timeout:g} s"
    finally:
        await asyncio.shield(sandboxed.kill())
    problem = sandboxed.ended or problem
    return Done(sandboxed.output.take(), None if problem else sandboxed.process.returncode, problem)
