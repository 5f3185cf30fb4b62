"""The commands `ponder tokenize`, `ponder render` and `ponder parse` as pure functions: JSON object in, object out.

    printf '{"text": "Hello"}\\n' | ponder tokenize

tokenize: {"text", "allow_control"?} -> {"ids", "tokens"}, or {"ids"} -> {"text"}
render:   {"messages", "tools"?, "enable_thinking"?, "add_generation_prompt"?, "history"?, "template"?,
           "allow_control"?} -> {"text", "ids", "spans", "warnings"}
parse:    {"ids" or "text", "prompt"? (ids or text), "tools"?}
           -> {"reasoning", "content", "tool_calls", "malformed_calls"}

Text given to `parse` is read with its control tokens: it stands for what a model produced. A key that is not known
is an error that names it.
"""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct, field, structs

from ponder.core.errors import UserError
from ponder.core.event import message_of
from ponder.core.message import messages_from_dicts
from ponder.core.request import History
from ponder.text.calls.xml_calls import schemas_of
from ponder.text.chat.parse import StreamParser
from ponder.text.chat.render import render as render_messages
from ponder.text.chat.template import Template
from ponder.text.tokenizer.tokenizer import Tokenizer

Json = dict[str, Any]
Input = TypeVar("Input", bound=Struct)
Id = Annotated[int, Meta(ge=0)]  # of a row of the head, which has more rows than the vocabulary has tokens
_READ = frozenset(["role", "content", "name", "tool_call_id"])
_READ_OF_ASSISTANT = frozenset(["reasoning_content", "reasoning", "tool_calls", "ids"])


class TokenizeInput(Struct, forbid_unknown_fields=True):
    text: str | None = None
    ids: list[int] | None = None
    allow_control: bool = False


class RenderInput(Struct, forbid_unknown_fields=True):
    messages: list[Json]
    tools: list[Json] | None = None
    enable_thinking: bool | None = None
    add_generation_prompt: bool = True
    history: History = "strip"
    template: Template | None = None
    allow_control: bool = False


class ParseInput(Struct, forbid_unknown_fields=True):
    ids: list[Id] | None = None
    text: str | None = None
    prompt: str | list[Id] = field(default_factory=list)
    tools: list[Json] | None = None


def tokenize(raw: Any, tokenizer: Tokenizer) -> Json:
    """`tokens` are the ids' texts one by one; a token that is part of a character shows U+FFFD."""
    given = _read(raw, TokenizeInput)
    _exactly_one(given.text, given.ids, "text", "ids")
    if given.ids is not None:
        tokenizer.check_ids(given.ids, "ids")
        return {"text": tokenizer.decode(given.ids, skip_special=False)}
    assert given.text is not None
    ids = tokenizer.encode(given.text, allow_control=given.allow_control)
    return {"ids": ids, "tokens": [tokenizer.decode([i], skip_special=False) for i in ids]}


def render(raw: Any, tokenizer: Tokenizer) -> Json:
    """As the official template: content that is not a string is left out, here with a warning."""
    given = _read(raw, RenderInput)
    messages = messages_from_dicts(given.messages, content_parts="official")
    result = render_messages(
        messages,
        tokenizer,
        tools=given.tools or (),
        enable_thinking=given.enable_thinking,
        add_generation_prompt=given.add_generation_prompt,
        history=given.history,
        template=given.template,
        allow_control=given.allow_control,
    )
    lost = [warning for n, m in enumerate(given.messages) for warning in _left_out(n, m)]
    spans = [structs.asdict(s) for s in result.spans]
    return {"text": result.text, "ids": result.ids, "spans": spans, "warnings": result.warnings + lost}


def parse(raw: Any, tokenizer: Tokenizer) -> Json:
    """One assistant turn. tools: by whose schemas the values of XML calls are read. `reasoning` is null when there is
    none; `arguments` are JSON text, of a JSON call as the model wrote it."""
    given = _read(raw, ParseInput)
    _exactly_one(given.ids, given.text, "ids", "text")
    ids = given.ids if given.ids is not None else tokenizer.encode(given.text or "", allow_control=True)
    prompt = given.prompt
    prompt_ids = tokenizer.encode(prompt, allow_control=True) if isinstance(prompt, str) else prompt
    parser = StreamParser(tokenizer, prompt_ids, schemas=schemas_of(given.tools or ()), bare_calls=True)
    message = message_of(parser.feed(ids) + parser.finish())
    calls = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in message.tool_calls]
    return {
        "reasoning": message.reasoning or None,
        "content": message.text,
        "tool_calls": calls,
        "malformed_calls": parser.malformed_calls,
    }


def _read(raw: Any, type_: type[Input]) -> Input:
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as e:
        known = ", ".join(f.name for f in structs.fields(type_))
        raise UserError(f"{e}; the keys are {known}") from e


def _exactly_one(a: object, b: object, a_name: str, b_name: str) -> None:
    if (a is None) == (b is None):
        raise UserError(f'give exactly one of "{a_name}" and "{b_name}"')


def _left_out(n: int, message: Json) -> list[str]:
    """What reading the message dropped, before the renderer could see it."""
    warnings = []
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        kind = type(content).__name__
        warnings.append(f"message {n}: content is a {kind}, which the official template drops; give it as one string")
    read = _READ | _READ_OF_ASSISTANT if message["role"] == "assistant" else _READ
    unread = [key for key in message if key not in read and message[key] is not None]
    return warnings + [f"message {n}: {key!r} of a {message['role']} message is not rendered" for key in unread]
