"""Carrying out calls: arguments read and checked, time limits, errors as text that the model can act on."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from ponder.agent.loop.event import CallDone
from ponder.agent.loop.limits import cut
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.errors import UserError
from ponder.core.message import ToolCall
from ponder.text.calls.untagged_calls import letters
from ponder.text.calls.xml_calls import FUNCTION

INTERRUPTED = "Error: the program ended during this call. It may or may not have taken effect: look, or call again."
CANCELLED = "Error: cancelled before it finished."
BROKEN = "Error: a tool call was not well formed"
XML_FORM = (
    "It must stand between <tool_call> and </tool_call>: <function=NAME>, for each argument <parameter=KEY>, its value "
    "and </parameter>, and then </function>."
)
NEAR = 30  # characters that are shown of a call that cannot be read
OVER = "Error: no more calls are possible; this one was not made. Answer in words."
DENIED = "Error: the user did not allow this call. Do something else, or answer without it."


def broken(text: str) -> str:
    """What the model hears of a call that cannot be read. text: the reply that holds it."""
    if FUNCTION in text:
        return f"{BROKEN}. {XML_FORM} Write it again."
    where = ""
    try:
        json.JSONDecoder(strict=False).raw_decode(text, max(0, text.find("{")))
    except json.JSONDecodeError as e:
        where = f" ({e.msg} after {text[max(0, e.pos - NEAR) : e.pos]!r})"
    except RecursionError:
        where = " (it is nested too deep)"
    return (
        f"{BROKEN}{where}. It must be one JSON object with name and arguments, with quotes and line ends in strings "
        "escaped. Write it again."
    )


def failure(text: str) -> Output:
    return Output(text if text.startswith("Error") else f"Error: {text}", error=True)


def resolve_name(tools: Sequence[Tool], name: str) -> str:
    """The name of the one tool that a model can mean: small ones write "fetch" for "fetch-fetch", and "_" for "-". A
    name that fits no tool, or two, stays as it is."""
    wanted = letters(name)
    if not wanted or any(tool.name == name for tool in tools):
        return name
    found = [tool.name for tool in tools if letters(tool.name) == wanted]
    found = found or [tool.name for tool in tools if letters(tool.own_name) == wanted]
    return found[0] if len(found) == 1 else name


def find(tools: Sequence[Tool], name: str) -> Tool | Output:
    for tool in tools:
        if tool.name == name:
            return tool
    known = ", ".join(t.name for t in tools) or "none at all"
    return failure(f"there is no tool named {name!r}; the tools are: {known}")


def read_arguments(tool: Tool, text: str) -> dict[str, Any] | Output:
    """The arguments of a call, or what is wrong with them, with the schema's word for it."""
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError) as e:
        return failure(f"the arguments of {tool.name} are not valid JSON ({e}); write them again")
    if isinstance(arguments, str) and (only := _only_text(tool)):
        arguments = {only: arguments}
    if not isinstance(arguments, dict):
        return failure(f"the arguments of {tool.name} must be a JSON object, got {type(arguments).__name__}")
    required = tool.parameters.get("required") or ()
    missing = [str(name) for name in required if name not in arguments]
    if missing:
        return failure(f"{tool.name} needs {', '.join(missing)}; its parameters are {_names(tool)}")
    return arguments


def _only_text(tool: Tool) -> str | None:
    """The parameter that a lone string can only be meant for: the one that is required, if it is text."""
    required: list[str] = tool.parameters.get("required") or []
    properties = tool.parameters.get("properties") or {}
    if len(required) != 1 or properties.get(required[0], {}).get("type") != "string":
        return None
    return required[0]


def _names(tool: Tool) -> str:
    return ", ".join(tool.parameters.get("properties") or ()) or "none"


async def execute(call: ToolCall, tool: Tool, context: ToolContext, seconds: float) -> CallDone:
    """Run one call for at most `seconds`. Never raises for what a tool does wrong; a cancelled call is cancelled."""
    began = time.monotonic()
    arguments = read_arguments(tool, call.arguments)
    if isinstance(arguments, Output):
        return CallDone(call.id, arguments)
    try:
        async with asyncio.timeout(seconds):
            output = await tool.call(arguments, context)
    except TimeoutError:
        output = failure(f"{tool.name} did not finish within {seconds:g} s and was stopped")
    except UserError as e:
        output = failure(str(e))
    except Exception as e:  # a tool is somebody else's code: whatever it raises, the model hears of it and goes on
        output = failure(f"{tool.name} failed: {type(e).__name__}: {e}")
    return CallDone(call.id, output, round(time.monotonic() - began, 3))


async def execute_all(
    calls: Sequence[tuple[ToolCall, Tool]],
    context: Callable[[ToolCall], ToolContext],
    seconds: Callable[[Tool], float],
    done: Callable[[CallDone], None],
) -> None:
    """The calls of one step: those that may run beside others together, the rest one by one, in order."""

    async def one(call: ToolCall, tool: Tool) -> None:
        done(await execute(call, tool, context(call), seconds(tool)))

    async with asyncio.TaskGroup() as group:
        for call, tool in calls:
            if tool.concurrent:
                group.create_task(one(call, tool))
        for call, tool in calls:
            if not tool.concurrent:
                await one(call, tool)


def text_for_model(output: Output, limit: int) -> str:
    """What the model reads of a result: its text, cut; a tool that says nothing has its pictures and files named."""
    if output.text:
        return cut(output.text, limit)
    lines = [f"[image {i.name or n}: {i.media_type}, shown to the user]" for n, i in enumerate(output.images, 1)]
    if output.files:
        lines.append(f"[files changed: {', '.join(output.files)}]")
    return cut("\n".join(lines) or "[no output]", limit)
