"""The keyword arguments of the Python API -> the values of `core`. What has no meaning is refused by name."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import structs

from ponder.core.errors import UserError
from ponder.core.message import Message, message_from_dict
from ponder.core.params import Grammar, SamplingParams, Thinking

Messages = str | Sequence[Message | dict[str, Any]]


def messages_of(messages: Messages) -> tuple[Message, ...]:
    """A text is one user message."""
    if isinstance(messages, str):
        return (Message.user(messages),)
    return tuple(m if isinstance(m, Message) else message_from_dict(m) for m in messages)


def sampling_of(sampling: SamplingParams | None, shorthand: dict[str, Any]) -> SamplingParams:
    """`sampling` with single fields replaced: temperature=0.2, max_tokens=100, stop="\\n", ..."""
    known = SamplingParams.__struct_fields__
    for name in shorthand:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, "thinking", "budget", "grammar", "json_schema"], 1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise UserError(f"unknown option {name!r}; {hint}", param=name)
    if isinstance(shorthand.get("stop"), str):
        shorthand = {**shorthand, "stop": (shorthand["stop"],)}
    given = structs.asdict(sampling or SamplingParams())
    try:
        return msgspec.convert({**given, **shorthand}, SamplingParams, str_keys=True)
    except msgspec.ValidationError as e:
        if isinstance(e.__cause__, UserError):  # a value out of range, found by SamplingParams itself
            raise e.__cause__ from e
        raise UserError(f"sampling options: {e}", param=str(e).rpartition("$.")[2].rstrip("`") or None) from e


def thinking_of(thinking: bool | int | Thinking | None, budget: int | None) -> Thinking:
    """True and False are the hard switch, a number is a budget, None leaves it to the model and the soft switch."""
    if isinstance(thinking, Thinking):
        value = thinking
    elif thinking is None or isinstance(thinking, bool):
        value = Thinking(enabled=thinking)
    else:
        value = Thinking(budget=thinking)
    if budget is None:
        return value
    if value.budget is not None and value.budget != budget:
        raise UserError(f"two budgets: thinking says {value.budget}, budget says {budget}", param="budget")
    return structs.replace(value, budget=budget)


def grammar_of(grammar: Grammar | None, json_schema: dict[str, Any] | str | None) -> Grammar | None:
    if json_schema is None:
        return grammar
    if grammar is not None:
        raise UserError("give either grammar or json_schema, not both", param="json_schema")
    text = json_schema if isinstance(json_schema, str) else json.dumps(json_schema, ensure_ascii=False)
    return Grammar("json_schema", text)
