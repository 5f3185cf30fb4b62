"""Ollama's dialect: /api/chat and /api/generate, streamed as JSON lines by default."""

import contextlib
import json
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from msgspec import structs
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDone
from ponder.engine.scheduling.handle import Handle
from ponder.server.api.ollama.chat_request import GenerateBody, OllamaChatBody, at_once, chat_request, generate_request
from ponder.server.http.body import parse, read_json
from ponder.server.http.errors import api_error, ollama_body
from ponder.server.http.log import log
from ponder.server.http.stream import Stream, cancel_on_disconnect, line
from ponder.server.runtime.backend import Model
from ponder.server.runtime.service import ActiveRequest, Service

PREFIX = "ollama-"
Run = contextlib.AbstractAsyncContextManager[ActiveRequest]
Body = dict[str, Any]


async def chat(request: Request) -> Response:
    service: Service = request.app.state.service
    body, unknown = parse(await read_json(request, service.config), OllamaChatBody, strict=service.config.strict)
    if not body.messages:  # how Ollama's clients load a model, and unload it
        return await _load(service, body, "message", {"role": "assistant", "content": ""})
    wish, odd = chat_request(body)
    run = service.run_chat(body.model, wish, PREFIX)
    return await _answer(request, service, body, run, ChatLines(), (*unknown, *odd))


async def generate(request: Request) -> Response:
    service: Service = request.app.state.service
    body, unknown = parse(await read_json(request, service.config), GenerateBody, strict=service.config.strict)
    if not body.prompt:
        return await _load(service, body, "response", "")
    wish, odd = generate_request(body)

    def submit(llm: Model) -> Handle:
        given: Body = {"thinking": wish.thinking, "grammar": wish.grammar, "allow_control": True}
        return llm.generate_stream(body.prompt, wish.sampling, **given)

    if body.raw:
        run = service.run(body.model, submit, PREFIX, body.prompt)
    else:
        run = service.run_chat(body.model, wish, PREFIX)
    return await _answer(request, service, body, run, GenerateLines(), (*unknown, *odd))


class ChatLines:
    """The message of one line of /api/chat."""

    def empty(self) -> Body:
        return {"message": {"role": "assistant", "content": ""}}

    def of(self, event: Event) -> Body | None:
        match event:
            case TextDelta(text):
                return {"message": {"role": "assistant", "content": text}}
            case ReasoningDelta(text):
                return {"message": {"role": "assistant", "content": "", "thinking": text}}
            case ToolCallDone(index, call):
                function = {"index": index, "name": call.name, "arguments": json.loads(call.arguments)}
                message = {"role": "assistant", "content": "", "tool_calls": [{"id": call.id, "function": function}]}
                return {"message": message}
        return None

    def join(self, parts: list[Body]) -> Body:
        messages = [p["message"] for p in parts]
        out: Body = {"role": "assistant", "content": "".join(m["content"] for m in messages)}
        if thoughts := "".join(m.get("thinking", "") for m in messages):
            out["thinking"] = thoughts
        if calls := [c for m in messages for c in m.get("tool_calls", [])]:
            out["tool_calls"] = calls
        return {"message": out}


class GenerateLines:
    """The text of one line of /api/generate."""

    def empty(self) -> Body:
        return {"response": ""}

    def of(self, event: Event) -> Body | None:
        match event:
            case TextDelta(text):
                return {"response": text}
            case ReasoningDelta(text):
                return {"response": "", "thinking": text}
        return None

    def join(self, parts: list[Body]) -> Body:
        out = {"response": "".join(p["response"] for p in parts)}
        thoughts = "".join(p.get("thinking", "") for p in parts)
        return out | ({"thinking": thoughts} if thoughts else {})


async def _answer(
    request: Request, service: Service, body: OllamaChatBody | GenerateBody, run: Run,
    lines: ChatLines | GenerateLines, warnings: tuple[str, ...],
) -> Response:  # fmt: skip
    items = _lines(service, body, run, lines, warnings)
    if body.stream:
        return await Stream.lines(_encoded(items))

    async def whole() -> Body:
        parts = [item async for item in items]
        logprobs = [entry for p in parts for entry in p.get("logprobs", [])]
        return parts[-1] | lines.join(parts[:-1]) | ({"logprobs": logprobs} if logprobs else {})

    return JSONResponse(await cancel_on_disconnect(request, whole))


async def _encoded(items: AsyncGenerator[Body, None]) -> AsyncGenerator[bytes, None]:
    started = False
    try:
        async for item in items:
            started = True
            yield line(item)
    except Exception as e:
        if not started:
            raise
        log.exception("a streamed answer failed")
        yield line(ollama_body(api_error(e)))
    finally:
        await items.aclose()


async def _lines(
    service: Service, body: OllamaChatBody | GenerateBody, run: Run, lines: ChatLines | GenerateLines,
    warnings: tuple[str, ...],
) -> AsyncGenerator[Body, None]:  # fmt: skip
    """One body a piece of the answer, and the last one with the counts."""
    asked = time.monotonic()
    async with run as active:
        loaded = time.monotonic() - asked
        frame = {"model": body.model}
        async for _, event in active.events():
            if isinstance(event, Finish):
                yield frame | {"created_at": _now()} | lines.empty() | _counts(active, event, asked, loaded, warnings)
            elif isinstance(event, TokenLogprob):
                entry = {"done": False, "logprobs": [_logprob(active, event)]}
                yield frame | {"created_at": _now()} | lines.empty() | entry
            elif (part := lines.of(event)) is not None:
                yield frame | {"created_at": _now()} | part | {"done": False}
    if at_once(body.keep_alive):
        await _unload(service, body.model)


def _counts(active: ActiveRequest, finish: Finish, asked: float, loaded: float, warnings: tuple[str, ...]) -> Body:
    """Durations are in nanoseconds."""
    timings, usage = active.handle.timings(), finish.usage
    prompt_s = timings.first_id - timings.admitted if timings.first_id else 0.0
    out: Body = {
        "done": True,
        "done_reason": "length" if finish.reason in ("cancelled", "length") else "stop",
        "total_duration": int((time.monotonic() - asked) * 1e9),
        "load_duration": int(loaded * 1e9),
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": int(prompt_s * 1e9),
        "eval_count": usage.completion_tokens,
        "eval_duration": int(max(0.0, timings.finished - timings.first_id) * 1e9) if timings.first_id else 0,
    }
    told = [*warnings, *finish.warnings]
    return out | {"effective": structs.asdict(finish.effective)} | ({"warnings": told} if told else {})


def _logprob(active: ActiveRequest, entry: TokenLogprob) -> Body:
    def token(raw: bytes, logprob: float) -> Body:
        return {"token": raw.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(raw)}

    tokenizer = active.llm.tokenizer
    top = [token(tokenizer.token_bytes(id_), logprob) for id_, logprob in entry.top]
    return token(entry.bytes, entry.logprob) | ({"top_logprobs": top} if top else {})


async def _load(service: Service, body: OllamaChatBody | GenerateBody, field: str, value: Any) -> Response:
    reason = "load"
    if at_once(body.keep_alive):
        await _unload(service, body.model)
        reason = "unload"
    else:
        async with service.pool.use(body.model):
            pass
    return JSONResponse({"model": body.model, "created_at": _now(), field: value, "done": True, "done_reason": reason})


async def _unload(service: Service, model: str) -> None:
    """Unless others use it now."""
    if not service.pool.find(model).users:
        await service.pool.unload(model)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
