"""The bodies of Ollama's POST /api/chat and /api/generate -> `ChatRequest`."""

import json
import re
from typing import Any

from msgspec import field

from ponder.core.errors import UserError
from ponder.core.message import Message, messages_from_dicts
from ponder.core.params import Grammar, SamplingParams
from ponder.core.request import ChatRequest
from ponder.server.api.billing_header import without_billing_header
from ponder.server.api.left_out import note, question_begins, readable
from ponder.server.api.thinking_params import ThinkingBody, thinking_of

# options that the engine has; the others of Ollama's list belong to its own runner
SAMPLING = {
    "temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "seed": "seed", "stop": "stop",
    "num_predict": "max_tokens", "repeat_penalty": "repetition_penalty", "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}  # fmt: skip


class OllamaChatBody(ThinkingBody, frozen=True, kw_only=True):
    model: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    format: str | dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    stream: bool = True
    keep_alive: str | float | None = None
    logprobs: bool = False
    top_logprobs: int | None = None


class GenerateBody(ThinkingBody, frozen=True, kw_only=True):
    model: str
    prompt: str = ""
    system: str | None = None
    raw: bool = False
    format: str | dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    stream: bool = True
    keep_alive: str | float | None = None
    context: list[int] | None = None
    suffix: str | None = None
    images: list[str] | None = None
    template: str | None = None
    logprobs: bool = False
    top_logprobs: int | None = None


_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_TIME = re.compile(rf"[+-]?(?:{_NUMBER}|(?:{_NUMBER}(?:ns|us|µs|ms|s|m|h))+)")  # each part has its end


def chat_request(body: OllamaChatBody) -> tuple[ChatRequest, tuple[str, ...]]:
    """-> the request, and warnings about options that have no meaning here."""
    sampling, warnings = sampling_of(body.options, body.logprobs, body.top_logprobs)
    messages = messages_of(body.messages)
    return ChatRequest(
        messages=messages,
        continue_final_message=messages[-1].is_beginning,
        tools=tuple(body.tools),
        sampling=sampling,
        thinking=thinking_of(body),
        grammar=format_of(body.format),
    ), warnings


def generate_request(body: GenerateBody) -> tuple[ChatRequest, tuple[str, ...]]:
    """A prompt under the model's template, as one user message. Raises UserError for what only Ollama's runner has."""
    for name in ("images", "template"):
        if getattr(body, name):
            raise UserError(f"{name} is not supported; use /api/chat with messages", param=name)
    for name in ("system", "context"):
        if (body.raw or body.suffix) and getattr(body, name):
            raise UserError(f"{name} has no place in a raw prompt: write it into the prompt", param=name)
    sampling, warnings = sampling_of(body.options, body.logprobs, body.top_logprobs)
    system = (Message.system(body.system),) if body.system else ()
    messages = (*system, Message.user(body.prompt))
    grammar = format_of(body.format)
    return ChatRequest(messages=messages, sampling=sampling, thinking=thinking_of(body), grammar=grammar), warnings


def messages_of(raw: list[dict[str, Any]]) -> tuple[Message, ...]:
    """Ollama's `thinking` and `tool_name` under the names the others use."""
    plain = []
    begins = question_begins([str(m.get("role")) for m in raw])
    for n, message in enumerate(raw):
        item = {k: v for k, v in message.items() if k != "ids"}
        item["content"] = readable(item.get("content"), asked=n >= begins)
        if images := item.pop("images", None):
            if n >= begins:
                raise UserError("this model reads text only: leave images out", param="messages")
            item["content"] = _with_notes(item["content"], images)
        if isinstance(item.get("thinking"), str):
            item["reasoning_content"] = item.pop("thinking")
        if "tool_name" in item:
            item["name"] = item.pop("tool_name")
        plain.append(item)
    return without_billing_header(messages_from_dicts(plain))


def _with_notes(content: Any, images: Any) -> Any:
    """The text, and a note for each image that stood beside it."""
    notes = [note({"type": "image"})] * (len(images) if isinstance(images, list) else 1)
    return "\n".join([content, *notes] if content else notes) if isinstance(content, str | None) else content


def sampling_of(options: dict[str, Any], logprobs: bool, top: int | None) -> tuple[SamplingParams, tuple[str, ...]]:
    """num_predict -1 and -2 mean no limit. Raises UserError naming the option."""
    if top is not None and not logprobs:
        raise UserError("top_logprobs needs logprobs: true", param="top_logprobs")
    values: dict[str, Any] = {}
    warnings = []
    for name, value in options.items():
        if name not in SAMPLING:
            warnings.append(f"options.{name} has no meaning here and was ignored")
        elif value is not None and not (name == "num_predict" and value in (-1, -2)):
            values[SAMPLING[name]] = value
    stop = values.pop("stop", ())
    values["stop"] = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else stop
    if values.get("repetition_penalty") == 0:
        del values["repetition_penalty"]
    try:
        return SamplingParams(**values, logprobs=(top or 0) if logprobs else None), tuple(warnings)
    except UserError as e:
        back = {theirs: ours for ours, theirs in SAMPLING.items()}
        where = f"options.{back[e.param]}" if e.param in back else e.param
        raise UserError(f"{where}: {e}", param=where) from e  # an error of this dialect has no other place for the name


def at_once(keep_alive: str | float | None) -> bool:
    """Whether the model is to be unloaded after the answer. Any other time is met by keeping it: models go when
    another needs their room. Raises UserError for what is no time."""
    if not isinstance(keep_alive, str) or not keep_alive:
        return keep_alive == 0
    if len(keep_alive) > 100 or not _TIME.fullmatch(keep_alive):
        text = f'keep_alive: {keep_alive[:40]!r} is neither a number of seconds nor a time such as "5m" or "1h30m"'
        raise UserError(text, param="keep_alive")
    return not any(digit in keep_alive for digit in "123456789")


def format_of(form: str | dict[str, Any] | None) -> Grammar | None:
    if form is None or form == "":
        return None
    if form == "json":
        return Grammar("json_object")
    if isinstance(form, dict):
        return Grammar("json_schema", json.dumps(form, ensure_ascii=False), strict=False)
    raise UserError('format is "json" or a JSON schema', param="format")
