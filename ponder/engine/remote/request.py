"""A `ChatRequest` or a raw prompt -> the body that a server of some dialect understands.

Nothing is dropped in silence: what the server cannot do raises UserError with the field's name; what it does only
nearly is a warning that the reply carries.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ponder.core.errors import UserError
from ponder.core.event import Effective
from ponder.core.message import Message
from ponder.core.params import SHAPING, Grammar, SamplingParams, Thinking
from ponder.core.request import ChatRequest
from ponder.engine.decoding.grammar import is_strict
from ponder.engine.decoding.settings import ModeSource
from ponder.engine.remote.dialects import Dialect
from ponder.text.calls.xml_calls import NO_SCHEMAS, Schemas, schemas_of
from ponder.text.chat.soft_switch import soft_switch

Body = dict[str, Any]
EFFORTS = ((1024, "low"), (4096, "medium"))  # as our own server reads the words (server/api/thinking_params.py)
CONTROL = re.compile(r"<\|[a-z_]+\|>|</?(?:think|tool_call|tool_response)>")


class Outgoing(NamedTuple):
    """path: below the server's /v1. calls: whether the answer may be a tool call. must_call: whether it has to be.
    schemas: of the tools. call_deltas: whether calls are told while they come."""

    path: str
    body: Body
    effective: Effective
    warnings: tuple[str, ...]
    calls: bool = False
    must_call: bool = False
    schemas: Schemas = NO_SCHEMAS
    call_deltas: bool = False


def chat_body(request: ChatRequest, model: str, dialect: Dialect) -> Outgoing:
    """Raises UserError for what a server of this dialect cannot do."""
    warnings: list[str] = []
    body = _frame(model) | {"messages": [_message(m, n, dialect) for n, m in enumerate(request.messages)]}
    body |= _sampling(request.sampling, dialect)
    body |= _thinking(request.thinking, dialect, warnings)
    body |= _grammar(request.grammar, dialect)
    body |= _tools(request, dialect, warnings)
    _history(request, dialect, body, warnings)
    if request.continue_final_message:
        body |= _continued(dialect)
    if request.truncation != "disabled":
        if dialect.name != "ponder":
            raise UserError(f"truncation: {dialect.name} counts its own tokens; leave it out", param="truncation")
        body["truncation"] = request.truncation
    thinks = _mode(request)
    if request.sampling.stop and thinks is not False and "stop_in_reasoning" not in dialect.can:
        if not request.sampling.stop_in_reasoning:
            warnings.append(f"stop: {dialect.name} matches stop strings in the thoughts too")
    elif request.sampling.stop_in_reasoning and "stop_in_reasoning" in dialect.can:
        body["stop_in_reasoning"] = True
    if dialect.name != "ponder" and (found := _control(m.text for m in request.messages)):
        warnings.append(f"{dialect.name} may read {found} in a message as a control token")
    calls = bool(request.tools) and request.tool_choice != "none"
    must = request.tool_choice not in ("auto", "none")
    return Outgoing(
        "/chat/completions", body, _effective(request, thinks), tuple(warnings), calls, must,
        schemas_of(request.tools), request.call_deltas,
    )  # fmt: skip


def completion_body(
    prompt: str | list[int], sampling: SamplingParams, thinking: Thinking, grammar: Grammar | None, model: str,
    dialect: Dialect, *, allow_control: bool,
) -> Outgoing:  # fmt: skip
    """A raw prompt. Raises UserError."""
    if thinking.enabled is not None or thinking.budget is not None:
        raise UserError("a raw prompt for a remote engine has no thinking controls; use chat", param="thinking_budget")
    if grammar is not None and dialect.name not in ("vllm", "ponder"):
        raise UserError(f"a grammar on a raw prompt: {dialect.name} takes none; use chat", param="format")
    if dialect.name in ("ollama", "openai") and not isinstance(prompt, str):
        raise UserError(f"{dialect.name} takes no prompt of token ids", param="prompt")
    if dialect.name == "ponder":
        extra: Body = {"allow_special_tokens": allow_control}
    elif not allow_control and isinstance(prompt, str) and (found := _control([prompt])):
        raise UserError(f"{dialect.name} would read {found} in the prompt as a control token", param="prompt")
    else:
        extra = {}
    body = _frame(model) | {"prompt": prompt} | _sampling(sampling, dialect) | _grammar(grammar, dialect) | extra
    if body.pop("logprobs", False):
        body["logprobs"] = body.pop("top_logprobs", 0)
    return Outgoing("/completions", body, _held(sampling, False, "model", None), ())


def _frame(model: str) -> Body:
    return {"model": model, "stream": True, "stream_options": {"include_usage": True}}


def _message(message: Message, place: int, dialect: Dialect) -> Body:
    """Servers insist on an id for every call, and name the thoughts in two ways."""
    out = message.to_dict()
    out.pop("ids", None)
    thoughts = out.pop("reasoning_content", None)
    if thoughts is not None and dialect.name != "openai":
        out |= {"reasoning": thoughts} if dialect.name == "ollama" else dict.fromkeys(
            ("reasoning_content", "reasoning"), thoughts
        )  # fmt: skip
    for n, call in enumerate(out.get("tool_calls", ())):
        call.setdefault("id", f"call_{place}_{n}")
    return out


def _sampling(sampling: SamplingParams, dialect: Dialect) -> Body:
    """Only what was asked for: defaults are the server's own."""
    body: Body = {}
    for name in (*SHAPING, "seed", "max_tokens"):
        value = getattr(sampling, name)
        if value is not None:
            if name not in dialect.sampling:
                raise UserError(f"{name}: {dialect.name} has no such setting; leave it out", param=name)
            body[dialect.sampling[name]] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    for name, value in (
        ("min_tokens", sampling.min_tokens),
        ("ignore_eos", sampling.ignore_eos),
        ("stop_token_ids", list(sampling.stop_token_ids)),
    ):
        if value:
            _needs(dialect, name, name, "it has no such setting")
            body[name] = value
    if sampling.n > 1:
        _needs(dialect, "n", "n", "it gives one answer a request")
        body["n"] = sampling.n
    if sampling.logit_bias:
        _needs(dialect, "logit_bias", "logit_bias", "it has no such setting")
        body["logit_bias"] = {str(k): v for k, v in sampling.logit_bias.items()}
    if sampling.logprobs is not None:
        _needs(dialect, "logprobs", "logprobs", "it reports none")
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    return body


def _thinking(thinking: Thinking, dialect: Dialect, warnings: list[str]) -> Body:
    if thinking.handover != "docs":
        raise UserError("handover belongs to the local engine", param="handover")
    if not thinking.show_handover and dialect.name != "ponder":
        raise UserError(f"show_handover: {dialect.name} has no such setting; leave it out", param="show_handover")
    if dialect.name == "ponder" and not thinking.loop_guard:
        warnings.append("loop_guard: the other server keeps its own")
    if thinking.tool_in_thinking == "close" and dialect.name != "ponder":
        text = f"tool_in_thinking: {dialect.name} has no such setting; leave it out"
        raise UserError(text, param="tool_in_thinking")
    if dialect.switch == "reasoning_effort":
        return _effort(thinking, dialect, warnings)
    body: Body = {}
    if thinking.tool_in_thinking is not None and dialect.name == "ponder":
        body["tool_in_thinking"] = thinking.tool_in_thinking
    if not thinking.show_handover:
        body["show_handover"] = False
    if thinking.enabled is not None:
        switch = {"enable_thinking": thinking.enabled}
        body |= switch if dialect.switch == "enable_thinking" else {"chat_template_kwargs": switch}
    if thinking.budget is not None:
        field, _, inner = dialect.budget.partition(".")
        body[field] = {inner: thinking.budget} if inner else thinking.budget
        if dialect.name == "sglang":
            warnings.append("thinking_budget: sglang keeps it only when started with --enable-strict-thinking")
    return body


def _effort(thinking: Thinking, dialect: Dialect, warnings: list[str]) -> Body:
    """Servers that know words only. A budget becomes the word that our own server reads as about as much."""
    if thinking.enabled is False or thinking.budget == 0:
        return {"reasoning_effort": "none"}
    if thinking.budget is not None:
        word = next((w for limit, w in EFFORTS if thinking.budget <= limit), "high")
        warnings.append(
            f"thinking_budget: {dialect.name} keeps no number of tokens; {thinking.budget} was sent as "
            f'reasoning_effort "{word}"'
        )
        return {"reasoning_effort": word}
    return {"reasoning_effort": "medium"} if thinking.enabled else {}


def _grammar(grammar: Grammar | None, dialect: Dialect) -> Body:
    if grammar is None:
        return {}
    if grammar.kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    if grammar.kind == "json_schema":
        form = {"name": "answer", "schema": json.loads(grammar.value), "strict": grammar.strict}
        return {"response_format": {"type": "json_schema", "json_schema": form}}
    if grammar.kind not in dialect.grammars:
        raise UserError(f"a {grammar.kind} grammar: {dialect.name} takes none", param="response_format")
    if dialect.name in ("vllm", "ponder"):
        value = json.loads(grammar.value) if grammar.kind == "choice" else grammar.value
        return {"structured_outputs": {"grammar" if grammar.kind == "gbnf" else grammar.kind: value}}
    if grammar.kind == "gbnf":
        return {"ebnf" if dialect.name == "sglang" else "grammar": grammar.value}
    if dialect.name == "sglang":
        choices = json.loads(grammar.value) if grammar.kind == "choice" else ()
        return {"regex": "|".join(map(re.escape, choices)) if choices else grammar.value}
    rules = " | ".join(json.dumps(c, ensure_ascii=False) for c in json.loads(grammar.value))  # llama.cpp's GBNF
    return {"grammar": f"root ::= {rules}"}


def _tools(request: ChatRequest, dialect: Dialect, warnings: list[str]) -> Body:
    if not request.tools:
        if request.tool_choice not in ("auto", "none"):
            raise UserError(f'tool_choice is "{request.tool_choice}", but there are no tools', param="tool_choice")
        return {}
    body: Body = {"tools": [t if "function" in t else {"type": "function", "function": t} for t in request.tools]}
    if dialect.name not in ("ponder", "openai") and any(map(is_strict, request.tools)):
        warnings.append(f"tools: {dialect.name} may not hold the arguments of a strict tool to its schema")
    if request.tool_choice in ("auto", "none", "required"):
        if dialect.name == "ollama" and request.tool_choice != "auto":
            raise UserError("tool_choice: ollama has no such setting", param="tool_choice")
        body["tool_choice"] = request.tool_choice
    else:
        _needs(dialect, "named_tool", "tool_choice", "it cannot be made to call a certain tool")
        body["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice}}
    if not request.parallel_tool_calls:
        _needs(dialect, "one_tool", "parallel_tool_calls", "it cannot be held to one call")
        body["parallel_tool_calls"] = False
    return body


def _history(request: ChatRequest, dialect: Dialect, body: Body, warnings: list[str]) -> None:
    if request.history == "strip":
        return
    if dialect.name == "ponder":
        body["preserve_thinking"] = "all"
        if request.history == "exact":
            warnings.append('history "exact" became "keep": ids do not travel')
    else:
        warnings.append(f'history "{request.history}": {dialect.name} renders earlier thoughts by its own template')


def _continued(dialect: Dialect) -> Body:
    """llama.cpp and ollama continue a last message of the assistant by themselves."""
    if dialect.name == "openai":
        raise UserError("continue_final_message: the other server may begin a new turn", param="continue_final_message")
    asks = dialect.name in ("ponder", "vllm", "sglang")
    return {"continue_final_message": True, "add_generation_prompt": False} if asks else {}


def _mode(request: ChatRequest) -> bool | None:
    """Whether it was asked to think; None when nobody said."""
    return request.thinking.enabled if request.thinking.enabled is not None else soft_switch(request.messages)


def _effective(request: ChatRequest, thinks: bool | None) -> Effective:
    """What is known before the reply: what was sent."""
    s, t = request.sampling, request.thinking
    asked = t.enabled is not None
    source: ModeSource = "request" if asked else "model" if thinks is None else "soft switch"
    return _held(s, thinks is True or (thinks is None and t.budget is not None), source, t.budget)


def _held(sampling: SamplingParams, thinking: bool, source: ModeSource, budget: int | None) -> Effective:
    """What another server was asked for."""
    return Effective(
        thinking=thinking,
        thinking_source=source,
        budget=budget,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=sampling.seed,
        max_tokens=sampling.max_tokens,
    )


def _control(texts: Iterable[str]) -> str | None:
    return next((found[0] for text in texts if (found := CONTROL.search(text))), None)


def _needs(dialect: Dialect, ability: str, field: str, why: str) -> None:
    if ability not in dialect.can:
        raise UserError(f"{field}: {dialect.name} cannot do that: {why}", param=field)
