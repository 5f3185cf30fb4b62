"""A typed function with a docstring is a tool; `text/function.py` says how it is read.

    tool = function_tool(add)

An async function is awaited; any other runs in a thread of its own, which can not be stopped: at a timeout it is left
to itself.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from ponder.agent.tools.tool import Approval, Output, Tool, ToolContext
from ponder.text.function import Function, result_text


class FunctionTool(Tool):
    """The function may take a parameter annotated `ToolContext`, which the model does not see."""

    def __init__(self, function: Function, approval: Approval) -> None:
        self._function, self.approval = function, approval
        self.name, self.description, self.parameters = function.name, function.description, function.parameters

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        values = self._function.arguments(arguments)
        if self._function.hidden:
            values[self._function.hidden] = context
        if inspect.iscoroutinefunction(self._function.run):
            result = await self._function.run(**values)
        else:
            result = await asyncio.to_thread(self._function.run, **values)
        return result if isinstance(result, Output) else Output(result_text(result), structured=_plain(result))


def function_tool(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    approval: Approval = "auto",
) -> FunctionTool:
    """A typed function as a tool: its signature is the schema, its docstring what the model reads. Raises UserError for
    a function that cannot be one: no docstring, a parameter without a type, `*args`.

    >>> from ponder.agent import function_tool
    >>> def add(a: int, b: int = 1) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> tool = function_tool(add, approval="ask")
    >>> tool.name, tool.description, tool.parameters["required"]
    ('add', 'Add two numbers.', ['a'])
    """
    return FunctionTool(Function.of(function, name=name, description=description, hide=ToolContext), approval)


def _plain(result: Any) -> Any:
    return result if isinstance(result, dict | list | int | float | bool) else None
