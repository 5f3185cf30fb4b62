"""The keyword arguments of the Python API -> the values of `core`. What has no meaning is refused by name."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict, TypeVar

import msgspec
from msgspec import Struct, structs

from ponder.core.errors import UserError
from ponder.core.message import Message, messages_from_dicts
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.request import History, Truncation
from ponder.text.fill_in import SourceFile
from ponder.text.function import Function

Messages = str | Sequence[Message | dict[str, Any]]


class SamplingFields(TypedDict, total=False):
    """The fields of SamplingParams, as keyword arguments; `stop` may be one text."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    seed: int | None
    max_tokens: int | None
    min_tokens: int
    ignore_eos: bool
    stop_token_ids: Sequence[int]
    stop: str | Sequence[str]
    stop_in_reasoning: bool
    logit_bias: dict[int, float]
    logprobs: int | None
    n: int


class GenerateFields(SamplingFields, total=False):
    """What `LLM.generate` takes after the prompt and the sampling; see `LLM.generate_stream`."""

    thinking: bool | int | Thinking | None
    budget: int | None
    grammar: Grammar | None
    json_schema: dict[str, Any] | str | None
    allow_control: bool
    raw: bool
    suffix: str | None
    files: Sequence[SourceFile]


class ChatFields(SamplingFields, total=False):
    """What `LLM.chat` takes after the messages; see `LLM.request`."""

    tools: Sequence[dict[str, Any] | Callable[..., Any]] | None
    tool_choice: str
    parallel_tool_calls: bool
    thinking: bool | int | Thinking | None
    budget: int | None
    sampling: SamplingParams | None
    grammar: Grammar | None
    json_schema: dict[str, Any] | str | None
    history: History
    truncation: Truncation
    continue_final_message: bool


Value = TypeVar("Value", bound=Struct)


def messages_of(messages: Messages) -> tuple[Message, ...]:
    """A text is one user message."""
    if isinstance(messages, str):
        return (Message.user(messages),)
    if not isinstance(messages, list | tuple):
        what = type(messages).__name__
        raise UserError(f"messages must be a text or a list of messages, got {what}", param="messages")
    return messages_from_dicts(messages)


def tools_of(tools: Sequence[dict[str, Any] | Callable[..., Any]] | None) -> tuple[dict[str, Any], ...]:
    """Tools are written into the prompt as JSON."""
    if tools is not None and not isinstance(tools, list | tuple):
        raise UserError(f"tools must be a list, got {type(tools).__name__}", param="tools")
    described = tuple(_described(tool) if callable(tool) else tool for tool in tools or ())
    for n, tool in enumerate(described):
        try:
            json.dumps(tool)
        except (TypeError, ValueError, RecursionError) as e:
            raise UserError(f"tools[{n}] is not JSON: {e}", param="tools") from e
    return described


def _described(function: Callable[..., Any]) -> dict[str, Any]:
    read = Function.of(function)
    return {
        "type": "function",
        "function": {"name": read.name, "description": read.description, "parameters": read.parameters},
    }


def sampling_of(sampling: SamplingParams | None, shorthand: dict[str, Any]) -> SamplingParams:
    """`sampling` with single fields replaced: temperature=0.2, max_tokens=100, stop="\\n", ..."""
    refuse_unknown(shorthand, SamplingParams.__struct_fields__, ("thinking", "budget", "grammar", "json_schema"))
    if isinstance(shorthand.get("stop"), str):
        shorthand = {**shorthand, "stop": (shorthand["stop"],)}
    if sampling is not None and not isinstance(sampling, SamplingParams):
        raise UserError(f"sampling must be SamplingParams, got {type(sampling).__name__}", param="sampling")
    return checked({**structs.asdict(sampling or SamplingParams()), **shorthand}, SamplingParams)


def refuse_unknown(names: Iterable[str], known: Sequence[str], elsewhere: Sequence[str] = ()) -> None:
    """Raises UserError for a name that is not known. elsewhere: names of other options that may be meant."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, *elsewhere], 1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise UserError(f"unknown option {name!r}; {hint}", param=name)


def checked(values: dict[str, Any], type_: type[Value]) -> Value:
    """A value of this type; raises UserError with the name of the field that does not fit."""
    try:
        return msgspec.convert(values, type_, str_keys=True)
    except msgspec.ValidationError as e:
        if isinstance(e.__cause__, UserError):  # a value out of range, found by the type itself
            raise e.__cause__ from e
        wanted, _, name = str(e).rstrip("`").rpartition(" - at `$.")
        field = re.split(r"[.\[]", name)[0]
        text = f"{name} must be {wanted.removeprefix('Expected ')}, got {values[field]!r}"
        raise UserError(text, param=field) from e


def thinking_of(thinking: bool | int | Thinking | None, budget: int | None) -> Thinking:
    """True and False are the hard switch, a number is a budget, None leaves it to the model and the soft switch."""
    if isinstance(thinking, Thinking):
        value = thinking
    elif thinking is None or isinstance(thinking, bool):
        value = Thinking(enabled=thinking)
    elif isinstance(thinking, int):
        value = Thinking(budget=thinking)
    else:
        raise UserError(f"thinking is True, False or a budget in tokens, got {thinking!r}", param="thinking")
    if budget is None:
        return value
    if value.budget is not None and value.budget != budget:
        raise UserError(f"two budgets: thinking says {value.budget}, budget says {budget}", param="budget")
    return structs.replace(value, budget=budget)


def grammar_of(grammar: Grammar | None, json_schema: dict[str, Any] | str | None) -> Grammar | None:
    if grammar is not None and not isinstance(grammar, Grammar):
        raise UserError(f'grammar must be a Grammar such as Grammar("regex", "a+"), got {grammar!r}', param="grammar")
    if json_schema is None:
        return grammar
    if grammar is not None:
        raise UserError("give either grammar or json_schema, not both", param="json_schema")
    text = json_schema if isinstance(json_schema, str) else json.dumps(json_schema, ensure_ascii=False)
    return Grammar("json_schema", text)
