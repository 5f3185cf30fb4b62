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
    """A picture that a tool made, for people.

    >>> from ponder.agent import Image, Output
    >>> Output("A red dot.", images=(Image("image/png", b"...", name="dot.png"),)).images[0].name
    'dot.png'
    """

    media_type: str
    """"image/png" and the like."""
    data: bytes
    name: str = ""


class Output(Struct, frozen=True):
    """What a call gave.

    >>> from ponder.agent import Output
    >>> Output("no file a.txt; there is b.txt", error=True).error
    True
    """

    text: str
    """What the model reads."""
    images: tuple[Image, ...] = ()
    """Shown to people; the model only reads that they are there."""
    files: tuple[str, ...] = ()
    """Names, inside the workspace, of what the call made or changed."""
    structured: Any = None
    """A result for programs, if the tool has one."""
    error: bool = False
    """The call failed; the text says why and what to do."""
    lost: bool = False
    """It failed because what carries it out is gone, and not for anything in the call."""


class ToolContext(Struct, frozen=True):
    """Where a call runs. A function that is a tool may take one; the model does not see that parameter.

    >>> from ponder.agent import ToolContext, function_tool
    >>> def note(text: str, context: ToolContext) -> str:
    ...     "Keep a note."
    ...     (context.workspace / "notes.txt").write_text(text)
    ...     return "kept"
    >>> list(function_tool(note).parameters["properties"])
    ['text']
    """

    conversation: str
    """Its name, the same for all turns."""
    workspace: Path
    """The folder of its files."""
    progress: Callable[[str], None] = lambda text: None
    """Tells whoever watches how far the call is."""


class Tool(ABC):
    """What a model can call: a class for what has a state, files or a process of its own; for a plain function there is
    `function_tool`.

    >>> from ponder.agent import Output, Tool
    >>> class Count(Tool):
    ...     name, description = "count", "How often it was called."
    ...     parameters = {"type": "object", "properties": {}}
    ...     calls = 0
    ...     async def call(self, arguments, context):
    ...         self.calls += 1
    ...         return Output(str(self.calls))
    >>> Count().schema()["function"]["name"]
    'count'
    """

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments, an object."""
    approval: Approval = "auto"
    """"auto" runs at once, "ask" waits for a person, "deny" never runs."""
    timeout: float | None = None
    """Seconds after which the loop gives up on a call; None: the loop's own limit."""
    concurrent: bool = True
    """May run beside other calls of one step."""
    own_name: str = ""
    """What the model may also call it, as long as no other tool is called so: the name without the part that keeps
    servers apart."""

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

    >>> from ponder.agent import Agent, Toolset, function_tool
    >>> class Clock(Toolset):
    ...     async def open(self): self.hour = 12
    ...     async def close(self): pass
    ...     def now(self) -> int:
    ...         "The hour of the day."
    ...         return self.hour
    ...     def tools(self): return [function_tool(self.now)]
    >>> [tool.name for tool in Agent("ponder-mini", tools=[Clock()]).tools()]
    ['now']
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
