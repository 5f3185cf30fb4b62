"""A typed function with a docstring is a tool: its signature gives the schema, its docstring the words.

    def add(a: float, b: float = 1) -> float:
        '''Add two numbers.

        a: the first one.
        '''
        return a + b

    tool = function_tool(add)

Arguments are converted to the annotated types, so a function gets a `date` where it asks for one. An async function is
awaited; any other runs in a thread of its own, which can not be stopped: at a timeout it is left to itself.
"""

import asyncio
import inspect
import json
import re
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from ponder.agent.tools.tool import Approval, Output, Tool, ToolContext
from ponder.core.errors import UserError

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class FunctionTool(Tool):
    """function: what runs. It may take a parameter annotated `ToolContext`, which the model does not see."""

    def __init__(self, function: Callable[..., Any], name: str, description: str, approval: Approval) -> None:
        self.function, self.name, self.description, self.approval = function, name, description, approval
        self._types, self._context, self.parameters = _read_signature(function, name)

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        unknown = [a for a in arguments if a not in self._types]
        if unknown:
            raise UserError(f"{self.name} has no parameter {unknown[0]!r}; it has {', '.join(self._types) or 'none'}")
        values = {name: _converted(self.name, name, value, self._types[name]) for name, value in arguments.items()}
        if self._context:
            values[self._context] = context
        if inspect.iscoroutinefunction(self.function):
            result = await self.function(**values)
        else:
            result = await asyncio.to_thread(self.function, **values)
        return result if isinstance(result, Output) else Output(_text(result), structured=_plain(result))


def function_tool(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    approval: Approval = "auto",
) -> FunctionTool:
    """Raises UserError for a function that cannot be one: no docstring, a parameter without a type, `*args`."""
    name = name or function.__name__
    words = description or inspect.getdoc(function) or ""
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a tool: letters, digits, _ and -, at most 64", param="tools")
    if not words:
        raise UserError(f"tool {name} needs a docstring: the model chooses by it", param="tools")
    return FunctionTool(function, name, words.split("\n\n")[0].replace("\n", " "), approval)


def _read_signature(function: Callable[..., Any], name: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(types by parameter, the parameter that wants the ToolContext or "", JSON schema)."""
    hints = typing.get_type_hints(function, include_extras=True)
    types: dict[str, Any] = {}
    context, required = "", []
    defaults: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UserError(f"tool {name}: {parameter} has no name a model could use", param="tools")
        if parameter.name not in hints:
            raise UserError(f"tool {name}: parameter {parameter.name} needs a type", param="tools")
        if hints[parameter.name] is ToolContext:
            context = parameter.name
            continue
        types[parameter.name] = hints[parameter.name]
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif parameter.default is not None:
            defaults[parameter.name] = msgspec.to_builtins(parameter.default)
    try:
        schemas, components = msgspec.json.schema_components(types.values(), ref_template="#/$defs/{name}")
    except TypeError as e:
        raise UserError(f"tool {name}: {e}", param="tools") from e
    words = _parameter_words(inspect.getdoc(function) or "", types)
    properties = {}
    for parameter_name, schema in zip(types, schemas, strict=True):
        extra = {"description": words[parameter_name]} if parameter_name in words else {}
        extra |= {"default": defaults[parameter_name]} if parameter_name in defaults else {}
        properties[parameter_name] = {**schema, **extra}
    parameters = {"type": "object", "properties": properties, "required": required}
    return types, context, parameters | ({"$defs": components} if components else {})


def _parameter_words(doc: str, types: dict[str, Any]) -> dict[str, str]:
    """What the docstring says of each parameter: `name: words`, also with a type in brackets, or `:param name: words`.
    Lines that are indented deeper go on."""
    found: dict[str, str] = {}
    current = ""
    for line in doc.splitlines():
        match = re.match(r"\s*(?::param\s+)?(\w+)\s*(?:\([^)]*\))?\s*:\s+(\S.*)", line)
        if match and match[1] in types:
            current = match[1]
            found[current] = match[2].strip()
        elif current and line.startswith("  ") and line.strip():
            found[current] += " " + line.strip()
        else:
            current = ""
    return found


def _converted(tool: str, name: str, value: Any, type_: Any) -> Any:
    try:
        return msgspec.convert(value, type_, strict=False)
    except msgspec.ValidationError as e:
        raise UserError(f"{tool}, argument {name}: {e}") from e


def _text(result: Any) -> str:
    if isinstance(result, str):
        return result
    try:
        return json.dumps(msgspec.to_builtins(result), ensure_ascii=False)
    except (TypeError, ValueError):
        return str(result)


def _plain(result: Any) -> Any:
    return result if isinstance(result, dict | list | int | float | bool) else None
