"""The tool `code_interpreter`: Python in a sandbox, one kernel for each conversation.

    interpreter = CodeInterpreter()
    await interpreter.open()            # UserError where code cannot be isolated
    [tool] = interpreter.tools()
    output = await tool.call({"code": "1 + 1"}, ToolContext("chat-1", workspace))
    await interpreter.close()

Variables stay between the calls of a conversation and are invisible to others. A call returns within its time limit; a
kernel that had to be stopped for that is replaced at the next call, which says so. Kernels that nobody uses are ended.
"""

import asyncio
import contextlib
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ponder.agent.tools.format_result import format_result
from ponder.agent.tools.tool import Output, Tool, ToolContext, Toolset
from ponder.core.errors import UserError
from ponder.sandbox.isolation import find
from ponder.sandbox.kernel import MAGIC, Kernel, Picture
from ponder.sandbox.launch import Isolation
from ponder.sandbox.limits import SandboxLimits
from ponder.sandbox.snapshot import Change, FileState, diff, snapshot
from ponder.sandbox.workspace import read

PACKAGES = ("matplotlib", "numpy", "pandas", "seaborn", "scipy", "sklearn", "sympy", "PIL", "openpyxl", "bs4")
PICTURES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
TICK = 5.0  # seconds between looks for idle kernels
UNSAFE = (
    "Code runs on this machine WITHOUT a sandbox (unsafe host execution): it can read, change and send away everything "
    "this user can."
)


class ConversationKernel:
    """Its kernel, and what has to be told at the next call."""

    def __init__(self) -> None:
        self.kernel: Kernel | None = None
        self.lost = ""
        self.files: dict[str, FileState] = {}
        self.used = time.monotonic()
        self.lock = asyncio.Lock()

    async def end(self, why: str) -> None:
        if self.kernel is not None:
            kernel, self.kernel = self.kernel, None
            self.lost = why
            await asyncio.shield(kernel.kill())


class CodeInterpreter(Toolset):
    """timeout: seconds of a call. idle: seconds after which an unused kernel is ended. kernels: how many may live at
    once; the one unused for longest gives way. unsafe_host_exec: no sandbox at all; announced in `warnings()`."""

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        limits: SandboxLimits | None = None,
        idle: float = 1800.0,
        kernels: int = 8,
        unsafe_host_exec: bool = False,
    ) -> None:
        if timeout <= 0 or idle <= 0 or kernels < 1:
            raise UserError("timeout and idle are seconds above 0, kernels is at least 1.")
        self.timeout, self.idle, self.kernels = timeout, idle, kernels
        self.limits = limits or SandboxLimits()
        self.unsafe = unsafe_host_exec
        self.isolation: Isolation | None = None
        self.conversations: dict[str, ConversationKernel] = {}
        self._reaper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        if self.isolation is not None:
            return
        if importlib.util.find_spec("ipykernel") is None:
            raise UserError("The code interpreter needs ipykernel: pip install 'ponder-llm[agent]'.")
        self.isolation = await asyncio.to_thread(find, unsafe_host_exec=self.unsafe)
        self._reaper = asyncio.create_task(self._reap())

    async def close(self) -> None:
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
            self._reaper = None
        conversations, self.conversations, self.isolation = list(self.conversations.values()), {}, None
        await asyncio.gather(*(conversation.end("closed") for conversation in conversations))

    def tools(self) -> Sequence[Tool]:
        return [] if self.isolation is None else [RunCode(self)]

    def warnings(self) -> Sequence[str]:
        return (UNSAFE,) if self.unsafe else ()

    async def forget(self, name: str) -> None:
        """End a conversation's kernel."""
        if conversation := self.conversations.pop(name, None):
            await conversation.end("closed")

    async def run(self, code: str, context: ToolContext) -> Output:
        conversation = self._conversation(context)
        async with conversation.lock:
            conversation.used = time.monotonic()
            notes = []
            if conversation.lost:
                notes.append(f"fresh kernel: variables and imports of earlier calls were lost ({conversation.lost})")
            before = await asyncio.to_thread(snapshot, context.workspace, conversation.files)
            kernel = await self._kernel(conversation, context)
            conversation.lost = ""
            try:
                answer = await kernel.execute(code, self.timeout)
            except BaseException:
                conversation.kernel, conversation.lost = None, "the call was cancelled"
                raise
            finally:
                conversation.used = time.monotonic()
            if answer.lost:
                conversation.kernel, conversation.lost = None, answer.lost
                notes.append(
                    f"the kernel was stopped: {answer.lost}. Variables and imports are gone, files are still there; "
                    "the next call runs in a fresh kernel"
                )
            elif answer.error and answer.error.startswith("TimeoutError: interrupted after"):
                notes.append(f"{answer.error.removeprefix('TimeoutError: ')}; variables are still there")
            if answer.left_out:
                notes.append(f"{answer.left_out} more images left out: at most {self.limits.images} are shown")
            conversation.files = await asyncio.to_thread(snapshot, context.workspace, before)
            changes = diff(before, conversation.files)
            failed = answer.error is not None or bool(answer.lost)
            room = self.limits.images - len(answer.pictures)
            saved = await asyncio.to_thread(saved_pictures, context.workspace, changes, self.limits.image)
            pictures = [*answer.pictures, *saved[:room]]
            return format_result(answer.text, changes, pictures=pictures, notes=notes, error=failed)

    def _conversation(self, context: ToolContext) -> ConversationKernel:
        return self.conversations.setdefault(context.conversation, ConversationKernel())

    async def _kernel(self, conversation: ConversationKernel, context: ToolContext) -> Kernel:
        if conversation.kernel is not None and not conversation.kernel.alive:
            await conversation.end(conversation.kernel.sandboxed.ended or "its process ended between calls")
        if conversation.kernel is None:
            assert self.isolation is not None, "open() comes first"
            await self._make_room()
            conversation.kernel = await Kernel.start(self.isolation, context.workspace.resolve(), self.limits)
        return conversation.kernel

    async def _make_room(self) -> None:
        living = [c for c in self.conversations.values() if c.kernel is not None]
        free = sorted((c for c in living if not c.lock.locked()), key=lambda c: c.used)
        for conversation in free[: max(0, len(living) - self.kernels + 1)]:
            await conversation.end("too many kernels were alive")

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(min(TICK, self.idle / 2))
            for conversation in list(self.conversations.values()):
                if not conversation.lock.locked() and time.monotonic() - conversation.used > self.idle:
                    await conversation.end(f"unused for {self.idle:g} s")


class RunCode(Tool):
    name = "code_interpreter"
    concurrent = False

    def __init__(self, interpreter: CodeInterpreter) -> None:
        self.interpreter = interpreter
        # Enough for a kernel to start, the call, and its end.
        self.timeout = interpreter.timeout + 45
        self.description = (
            "Runs Python code in a sandbox without network and returns what it prints, the value of its last line and "
            "errors. Code cannot open a URL: write the data that it works on into it. Variables, imports and functions "
            "stay for later calls. Plots (matplotlib) are shown to the user. The current folder is the workspace, "
            f"where files are kept. Packages cannot be installed{there()}. A call may take {interpreter.timeout:g} "
            "seconds."
        )
        self.parameters = {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The Python code, with its data."}},
            "required": ["code"],
        }

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        return await self.interpreter.run(plain(arguments["code"]), context)


def there() -> str:
    """What a model would otherwise find out by an ImportError."""
    found = [name for name in PACKAGES if importlib.util.find_spec(name)]
    return f"; beside Python's own there are {', '.join(found)}" if found else ""


def plain(code: str) -> str:
    """Models often wrap code in a Markdown fence; that is not part of it."""
    lines = code.strip().split("\n")
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1])
    return code


def saved_pictures(root: Path, changes: Sequence[Change], limit: int) -> list[Picture]:
    """Those that the call saved as files: `plt.savefig` shows a plot as much as `plt.show`. limit: bytes of one."""
    found: list[Picture] = []
    for change in changes:
        kind = PICTURES.get(Path(change.name).suffix.lower())
        if kind is None or change.kind == "removed" or change.size > limit:
            continue
        with contextlib.suppress(UserError):  # gone again, or no file after all
            data = read(root, change.name, limit)
            if data.startswith(MAGIC[kind]):
                found.append(Picture(kind, data))
    return found
