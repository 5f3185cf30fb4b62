"""Qwen-Agent's forms: its tools, its settings, its messages. `assistant.py` speaks them; nothing else here does."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.errors import UserError
from ponder.core.message import Message, ToolResult, messages_from_dicts
from ponder.core.params import SamplingParams, Thinking

IGNORED = {"fncall_prompt_type", "use_raw_api", "thought_in_content", "max_retries"}  # of Qwen-Agent's own workings


class BaseTool:
    """Qwen-Agent's way to write a tool: class attributes and a `call` that takes JSON text.

    >>> from ponder.agent import BaseTool
    >>> class Upper(BaseTool):
    ...     name, description = "upper", "Text in capitals."
    ...     parameters = [{"name": "text", "type": "string", "description": "Any text.", "required": True}]
    ...     def call(self, params, **kwargs):
    ...         return json.loads(params)["text"].upper()
    >>> import json
    >>> Upper().call('{"text": "hello"}')
    'HELLO'
    """

    name: str = ""
    description: str = ""
    parameters: list[dict[str, Any]] | dict[str, Any] = []  # noqa: RUF012  # subclasses replace it

    def __init__(self, cfg: dict[str, Any] | None = None) -> None:
        self.cfg = cfg or {}

    def call(self, params: str | dict[str, Any], **kwargs: Any) -> Any:
        """params: the arguments as JSON text, as the model wrote them. What it gives is what the model reads."""
        raise NotImplementedError(f"{type(self).__name__}.call")


class Registered:
    tools: ClassVar[dict[str, type[BaseTool]]] = {}


def register_tool(name: str, allow_overwrite: bool = False) -> Callable[[type[BaseTool]], type[BaseTool]]:
    """Class decorator: `function_list` may then name the tool. Raises UserError for a name that is taken.

    >>> from ponder.agent import Assistant, BaseTool, register_tool
    >>> @register_tool("greet", allow_overwrite=True)
    ... class Greet(BaseTool):
    ...     description = "A greeting."
    ...     def call(self, params, **kwargs):
    ...         return "Good day."
    >>> bot = Assistant(function_list=["greet"], llm={"model": "ponder-mini"})
    >>> [tool.name for tool in bot.agent.tools()]
    ['greet']
    """

    def decorate(cls: type[BaseTool]) -> type[BaseTool]:
        if name in Registered.tools and not allow_overwrite:
            raise UserError(f"a tool is registered as {name!r} already; say allow_overwrite=True", param="name")
        cls.name = name
        Registered.tools[name] = cls
        return cls

    return decorate


class Wrapped(Tool):
    """A `BaseTool` as a `Tool`."""

    def __init__(self, tool: BaseTool) -> None:
        self.inner, self.name, self.description = tool, tool.name, tool.description
        self.parameters = tool.parameters if isinstance(tool.parameters, dict) else _schema(tool.parameters)

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        result = await asyncio.to_thread(self.inner.call, json.dumps(arguments, ensure_ascii=False))
        if isinstance(result, Output):
            return result
        return Output(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str))


def _schema(parameters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Qwen-Agent's list of parameters as JSON schema."""
    properties = {p["name"]: {k: v for k, v in p.items() if k not in ("name", "required")} for p in parameters}
    return {
        "type": "object",
        "properties": properties,
        "required": [p["name"] for p in parameters if p.get("required")],
    }


def settings(cfg: dict[str, Any]) -> tuple[SamplingParams, Thinking, dict[str, Any]]:
    """generate_cfg: sampling parameters by name, enable_thinking, thinking_budget, also inside extra_body and
    chat_template_kwargs; max_llm_calls is the limit of steps."""
    values = {**cfg, **(cfg.get("extra_body") or {})}
    values |= values.get("chat_template_kwargs") or {}
    loop = {"steps": values["max_llm_calls"]} if "max_llm_calls" in values else {}
    thinking = Thinking(enabled=values.get("enable_thinking"), budget=values.get("thinking_budget"))
    taken = {"extra_body", "chat_template_kwargs", "enable_thinking", "thinking_budget", "max_llm_calls", *IGNORED}
    rest = {k: v for k, v in values.items() if k not in taken}
    unknown = [k for k in rest if k not in SamplingParams.__struct_fields__]
    if unknown:
        raise UserError(f"generate_cfg: {unknown[0]} is not known here", param="llm")
    if isinstance(rest.get("stop"), list):
        rest["stop"] = tuple(rest["stop"])
    return SamplingParams(**rest), thinking, loop


def from_qwen(messages: Sequence[Message | dict[str, Any]]) -> list[Message]:
    """Qwen-Agent's messages: calls one by one as `function_call`, results with role "function"."""
    found: list[Message | dict[str, Any]] = []
    for n, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "function":
            extra = message.get("extra") or {}
            message = {**message, "role": "tool", "tool_call_id": extra.get("function_id") or message.get("id") or ""}
        elif isinstance(message, dict) and message.get("function_call"):
            call = message["function_call"]
            id_ = (message.get("extra") or {}).get("function_id") or f"call_{n}"
            message = {**message, "tool_calls": [{"id": id_, "type": "function", "function": call}]}
            last = found[-1] if found else None
            if isinstance(last, dict) and last.get("role") == "assistant" and not message.get("content"):
                found[-1] = {**last, "tool_calls": [*(last.get("tool_calls") or []), *message["tool_calls"]]}
                continue
        found.append(message)
    return list(messages_from_dicts(found))


def to_qwen(message: Message, name: str) -> list[dict[str, Any]]:
    """A new message of the history as Qwen-Agent's: thoughts and text, each call by itself. None for the user's."""
    if message.role == "tool":
        (part,) = message.parts
        assert isinstance(part, ToolResult)
        return [{**qwen_message("function", part.text, part.name), "extra": {"function_id": part.call_id}}]
    if message.role != "assistant":
        return []
    found = []
    if message.text or message.reasoning:
        found.append(qwen_message("assistant", message.text, name, message.reasoning or ""))
    for call in message.tool_calls:
        function = {"name": call.name, "arguments": call.arguments}
        made = {**qwen_message("assistant", "", name), "function_call": function}
        found.append({**made, "extra": {"function_id": call.id}})
    return found


def qwen_message(role: str, content: str, name: str, reasoning: str = "") -> dict[str, Any]:
    return {
        "role": role, "content": content, **({"reasoning_content": reasoning} if reasoning else {}),
        **({"name": name} if name else {}),
    }  # fmt: skip
