"""What a tool is: a name, a description, a JSON schema, and an async call. Everything that acts implements `Tool`.

    class Add(Tool):
        name, description = "add", "Adds two numbers."
        parameters = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}

        async def call(self, arguments, context):
            return Output(str(arguments["a"] + arguments["b"]))

A typed function with a docstring becomes one through `function_tool`; an MCP server or an interpreter that lives as
long as its conversation is a `Toolset`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from msgspec import Struct

Approval = Literal["auto", "ask", "deny"]


class Image(Struct, frozen=True):
    """A picture that a tool made. media_type: "image/png" and the like."""

    media_type: str
    data: bytes
    name: str = ""


class Output(Struct, frozen=True):
    """What a call gave.

    text: what the model reads. images: shown to people; the model only reads that they are there. files: names, inside
    the workspace, of what the call made or changed. structured: machine-readable result, if the tool has one.
    error: the call failed; the text says why and what to do. lost: it failed because what carries it out is gone, and
    not for anything in the call.
    """

    text: str
    images: tuple[Image, ...] = ()
    files: tuple[str, ...] = ()
    structured: Any = None
    error: bool = False
    lost: bool = False


class ToolContext(Struct, frozen=True):
    """Where a call runs. conversation: its name, the same for all turns. workspace: the folder of its files.
    progress: tell whoever watches how far the call is."""

    conversation: str
    workspace: Path
    progress: Callable[[str], None] = lambda text: None


class Tool(ABC):
    """parameters: JSON schema of the arguments, an object. approval: "auto" runs at once, "ask" waits for a person,
    "deny" never runs. timeout: seconds after which the loop gives up on a call; None: the loop's own limit.
    concurrent: may run beside other calls of one step. own_name: what the model may also call it, as long as no other
    tool is called so: the name without the part that keeps servers apart.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    approval: Approval = "auto"
    timeout: float | None = None
    concurrent: bool = True
    own_name: str = ""

    @abstractmethod
    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        """arguments: parsed and checked against `parameters`. Must be cancellable: a cancelled call leaves nothing
        running. Raise UserError, or return an Output with `error`, for what the model can put right."""

    def schema(self) -> dict[str, Any]:
        """The OpenAI tool object, as the template renders it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


class Opened(ABC):
    """What is opened before use and closed after it: `async with`."""

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Toolset(Opened):
    """Tools that share something which has to be opened and closed: a server, a process, a folder.

    `tools()` may change between steps (an MCP server can add tools); the loop asks before each.
    """

    @abstractmethod
    def tools(self) -> Sequence[Tool]: ...

    @abstractmethod
    async def open(self) -> None:
        """Start what is needed. Called once, before the first step. What cannot start is reported in `warnings()`
        and offers no tools, unless it is required: then UserError."""

    @abstractmethod
    async def close(self) -> None:
        """Leave no process, task or file behind. Safe to call twice, and after a failed open."""

    def warnings(self) -> Sequence[str]:
        """What a user should know: a server that did not start, a tool that was switched off."""
        return ()
