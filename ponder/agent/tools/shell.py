"""The tool `shell`: one command in a sandbox of its own, which ends with it.

    await shell.call({"command": "ls -l | head"}, ToolContext("chat-1", workspace))

It sees the same workspace as the code interpreter of the conversation, and nothing else of its kernel.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from ponder.agent.tools.code_interpreter import UNSAFE
from ponder.agent.tools.format_result import format_result
from ponder.agent.tools.tool import Output, Tool, ToolContext, Toolset
from ponder.core.errors import UserError
from ponder.sandbox.isolation import find
from ponder.sandbox.launch import Isolation
from ponder.sandbox.limits import SandboxLimits
from ponder.sandbox.run import run
from ponder.sandbox.snapshot import diff, snapshot


class Shell(Toolset):
    """timeout: seconds of a call. unsafe_host_exec: no sandbox at all; announced in `warnings()`."""

    def __init__(
        self, *, timeout: float = 60.0, limits: SandboxLimits | None = None, unsafe_host_exec: bool = False
    ) -> None:
        if timeout <= 0:
            raise UserError("timeout is seconds above 0.")
        self.timeout = timeout
        self.limits = limits or SandboxLimits()
        self.unsafe = unsafe_host_exec
        self.isolation: Isolation | None = None

    async def open(self) -> None:
        self.isolation = await asyncio.to_thread(find, unsafe_host_exec=self.unsafe)

    async def close(self) -> None:
        self.isolation = None

    def tools(self) -> Sequence[Tool]:
        return [] if self.isolation is None else [RunCommand(self, self.isolation)]

    def warnings(self) -> Sequence[str]:
        return (UNSAFE,) if self.unsafe else ()


class RunCommand(Tool):
    name = "shell"
    concurrent = False

    def __init__(self, shell: Shell, isolation: Isolation) -> None:
        self.shell, self.isolation = shell, isolation
        self.timeout = shell.timeout + 15
        self.description = (
            "Runs a shell command in a sandbox and returns its output and exit code. The current folder is the "
            "workspace, where files are kept. Nothing else stays: no variables, no background processes. There is no "
            f"network. A call may take {shell.timeout:g} seconds."
        )
        self.parameters = {
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The command, for sh."}},
            "required": ["command"],
        }

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        workspace = context.workspace.resolve()
        before = await asyncio.to_thread(snapshot, workspace)
        command = ["sh", "-c", arguments["command"]]
        done = await run(self.isolation, command, workspace, timeout=self.shell.timeout, limits=self.shell.limits)
        changes = diff(before, await asyncio.to_thread(snapshot, workspace, before))
        notes = [done.problem] if done.problem else [f"exit code {done.code}"] if done.code else []
        return format_result(done.text, changes, notes=notes, error=bool(notes))
