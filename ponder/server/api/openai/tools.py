"""Tools of OpenAI's dialects that are no plain functions, both ways.

custom     the call's input is free text. To the model it is a function with one string, `input`; its call goes out as a
           custom call whose input is that string.
namespace  a group of tools under a name of its own. To the model each is a function NAMESPACE__NAME.
others     (web_search, image_generation ...) only the vendor can run: left out with a warning.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ponder.core.errors import UserError
from ponder.core.message import ToolCall
from ponder.server.http.reply import JsonReply

Tool = dict[str, Any]
INPUT = "input"  # the parameter of a custom tool's function
_FIELDS = ("name", "description", "parameters", "strict")
_BEGINS = re.compile(r'\s*\{\s*"' + INPUT + r'"\s*:\s*"')
# A text between quotes, without what is not whole yet: an escape, or half of a pair of them.
_WHOLE = re.compile(r'(?:[^"\\]|\\u[dD][89abAB]\w\w\\u\w{4}|\\u(?![dD][89abAB])\w{4}|\\[^u])*')


class Offered(NamedTuple):
    """functions: what the model is told of. custom: the names of custom tools. spaces: (namespace, name) of those in a
    namespace, by the name that the model knows. warnings: about those that were left out."""

    functions: tuple[Tool, ...]
    custom: frozenset[str]
    spaces: dict[str, tuple[str, str]]
    warnings: tuple[str, ...]


class FunctionOfCall(JsonReply):
    name: str
    arguments: str


class ToolCallReply(JsonReply, tag_field="type", tag="function"):
    id: str
    function: FunctionOfCall


class CustomOfCall(JsonReply):
    name: str
    input: str


class CustomCallReply(JsonReply, tag_field="type", tag="custom"):
    id: str
    custom: CustomOfCall


def offered(tools: Iterable[Tool]) -> Offered:
    """Of tools in the flat form of the responses dialect. Raises UserError for one without a name."""
    functions: list[Tool] = []
    custom: set[str] = set()
    spaces: dict[str, tuple[str, str]] = {}
    warnings: list[str] = []
    for space, tool in _listed(tools):
        kind = tool.get("type", "function" if space else None)
        if kind not in ("function", "custom"):
            warnings.append(f"tool of type {kind!r} was left out: nothing here can run it")
            continue
        if not isinstance(tool.get("name"), str):
            raise UserError(f"every {kind} tool needs a name", param="tools")
        name = flat_name(space, tool["name"])
        if space:
            spaces[name] = (space, tool["name"])
        if kind == "custom":
            custom.add(name)
            functions.append(custom_function(tool | {"name": name}))
        else:
            function = {k: tool[k] for k in _FIELDS if tool.get(k) not in (None, False)} | {"name": name}
            functions.append({"type": "function", "function": function})
    return Offered(tuple(functions), frozenset(custom), spaces, tuple(warnings))


def _listed(tools: Iterable[Tool]) -> Iterable[tuple[str, Tool]]:
    """(namespace, tool); "" for one that is in none."""
    for tool in tools:
        if tool.get("type") == "namespace" and isinstance(tool.get("tools"), list):
            yield from ((str(tool.get("name", "")), inner) for inner in tool["tools"] if isinstance(inner, dict))
        else:
            yield "", tool


def flat_name(space: Any, name: str) -> str:
    """One name for a tool in a namespace."""
    if not space or not isinstance(space, str):
        return name
    return f"{space}{name}" if space.endswith("__") else f"{space}__{name}"


def custom_function(tool: Tool) -> Tool:
    """A custom tool as a function."""
    about = str(tool.get("description") or "")
    match tool.get("format"):
        case {"syntax": syntax, "definition": definition} | {"grammar": {"syntax": syntax, "definition": definition}}:
            about += f"\n\nThe input follows this grammar ({syntax}):\n{definition}"
    parameters = {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": "All of the input, as the text that it is."}},
        "required": [INPUT],
    }
    function = {"name": tool["name"], "description": about.strip(), "parameters": parameters}
    return {"type": "function", "function": function}


def chat_function(tool: Tool) -> Tool:
    """The tool of a chat completion as a function; what is no custom tool as it is."""
    match tool:
        case {"type": "custom", "custom": {"name": str()} as custom}:
            return custom_function(custom)
    return tool


def chat_custom_names(tools: Iterable[Tool]) -> frozenset[str]:
    return frozenset(t["custom"]["name"] for t in tools if chat_function(t) is not t)


def chat_function_call(call: Any) -> Any:
    """The call of a custom tool in the history of a chat completion as one of its function."""
    match call:
        case {"type": "custom", "custom": {"name": name, "input": str(text)}}:
            function = {"name": name, "arguments": custom_arguments(text)}
            return {"id": call.get("id"), "type": "function", "function": function}
    return call


def allowed_tools(choice: Any) -> tuple[str, list[Any]]:
    """(how tools are to be called, those that may be) of a tool_choice of type allowed_tools. Raises UserError."""
    named, mode = (choice.get("tools", []), choice.get("mode", "auto")) if isinstance(choice, dict) else (None, None)
    if not isinstance(named, list) or mode not in ("auto", "required"):
        text = 'tool_choice of type allowed_tools has "mode": "auto" or "required", and a list of "tools"'
        raise UserError(text, param="tool_choice")
    return mode, named


def custom_arguments(text: str) -> str:
    """The arguments of the function whose custom call had this input."""
    return json.dumps({INPUT: text}, ensure_ascii=False)


def chat_call(id_: str, call: ToolCall, custom: frozenset[str]) -> ToolCallReply | CustomCallReply:
    """A call in the reply of a chat completion. custom: the names of custom tools."""
    if call.name in custom:
        return CustomCallReply(id=id_, custom=CustomOfCall(name=call.name, input=input_of(call.arguments)))
    return ToolCallReply(id=id_, function=FunctionOfCall(name=call.name, arguments=call.arguments))


def input_of(arguments: str) -> str:
    """The input of a custom call. A model that called the parameter otherwise meant the only text there is."""
    given = json.loads(arguments)
    if isinstance(given.get(INPUT), str):
        return str(given[INPUT])
    values = list(given.values())
    return str(values[0]) if len(values) == 1 and isinstance(values[0], str) else arguments


class InputStream:
    """The input of a custom call, while its arguments come in pieces. What has been said stays."""

    def __init__(self) -> None:
        self.said = ""
        self._rest = ""  # of the arguments: what is not read yet
        self._inside = False

    def feed(self, text: str) -> str:
        """What of the input is certain now."""
        self._rest += text
        if not self._inside:
            begun = _BEGINS.match(self._rest)
            if begun is None:
                return ""
            self._inside, self._rest = True, self._rest[begun.end() :]
        whole = _WHOLE.match(self._rest)
        assert whole is not None, "it matches nothing, too"
        self._rest = self._rest[whole.end() :]
        return self._say(json.loads(f'"{whole[0]}"', strict=False))

    def finish(self, arguments: str) -> str:
        """arguments: all of them. What was not said yet."""
        whole = input_of(arguments)
        return self._say(whole[len(self.said) :]) if whole.startswith(self.said) else ""

    def _say(self, text: str) -> str:
        self.said += text
        return text
