"""Anthropic's dialect: POST /v1/messages and /v1/messages/count_tokens.

A message is a list of blocks: thinking, text, tool_use. Streamed, a block is opened, filled by deltas and closed; the
whole reply is built from the same blocks. A thinking block carries a signature, as clients send it back unread.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from typing import Any

from msgspec import structs
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.request import ChatRequest
from ponder.server.api.anthropic.messages_request import MessagesBody, messages_request
from ponder.server.http.body import parse, read_json
from ponder.server.http.errors import anthropic_body, api_error
from ponder.server.http.log import log
from ponder.server.http.stream import Stream, cancel_on_disconnect, event
from ponder.server.runtime.service import ActiveRequest, Service

PREFIX = "msg_"
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "cancelled": "max_tokens"}
Body = dict[str, Any]


async def messages(request: Request) -> Response:
    service: Service = request.app.state.service
    body, unknown = parse(await read_json(request, service.config), MessagesBody, strict=service.config.strict)
    chat, odd = messages_request(body)
    warnings = (*unknown, *odd)
    if body.stream:
        return await Stream.sse(_streamed(service, body, chat, warnings), service.config.keep_alive)
    return JSONResponse(await cancel_on_disconnect(request, lambda: _whole(service, body, chat, warnings)))


async def count_tokens(request: Request) -> Response:
    """The ids that the prompt would have."""
    service: Service = request.app.state.service
    body, _ = parse(await read_json(request, service.config), MessagesBody, strict=service.config.strict)
    chat, _ = messages_request(body)
    restorer = service.restorer(body.model, chat)
    async with service.pool.use(body.model) as llm:
        count = await asyncio.to_thread(lambda: llm.count_tokens(service.asked(chat, llm, restorer)))
    return JSONResponse({"input_tokens": count})


async def _whole(service: Service, body: MessagesBody, chat: ChatRequest, warnings: tuple[str, ...]) -> Body:
    async with service.run_chat(body.model, chat, PREFIX) as active:
        blocks, message = ContentBlocks(active.id), _opening(service, body, active)
        async for _, item in active.events():
            if not isinstance(item, Finish):
                blocks.add(item)
                continue
            blocks.close()
            return message | {"content": blocks.done} | _closing(item, warnings) | {"usage": _usage(item)}
    raise AssertionError("a stream ends with Finish")


async def _streamed(
    service: Service, body: MessagesBody, chat: ChatRequest, warnings: tuple[str, ...]
) -> AsyncGenerator[bytes, None]:
    async with service.run_chat(body.model, chat, PREFIX) as active:
        yield _event({"type": "message_start", "message": _opening(service, body, active)}) + _event({"type": "ping"})
        blocks = ContentBlocks(active.id)
        try:
            async for _, item in active.events():
                parts = blocks.close() if isinstance(item, Finish) else blocks.add(item)
                for part in parts:
                    yield _event(part)
                if isinstance(item, Finish):
                    yield _event({"type": "message_delta", "delta": _closing(item, warnings), "usage": _usage(item)})
                    yield _event({"type": "message_stop"})
        except Exception as e:  # the headers are out: whatever went wrong becomes the last event
            log.exception("request %s failed", active.id)
            yield event("error", anthropic_body(api_error(e)))


class ContentBlocks:
    """Events -> content blocks. `add` gives the stream's events; `done` are the finished blocks of the whole reply."""

    def __init__(self, reply: str) -> None:
        self.done: list[Body] = []
        self._reply = reply
        self._open: Body | None = None

    def add(self, item: Event) -> list[Body]:
        match item:
            case ReasoningDelta(text):
                return self._extend("thinking", "thinking_delta", text)
            case TextDelta(text):
                return self._extend("text", "text_delta", text)
            case ToolCallDone(index, call):
                id_ = call.id or f"toolu_{self._reply.removeprefix(PREFIX)}_{index}"
                block = {"type": "tool_use", "id": id_, "name": call.name, "input": {}}
                out = [*self.close(), self._start(block)]
                block["input"] = json.loads(call.arguments)
                delta = {"type": "input_json_delta", "partial_json": call.arguments}
                return [*out, self._delta(delta), *self.close()]
        return []

    def close(self) -> list[Body]:
        """The end of the open block, if there is one."""
        if self._open is None:
            return []
        block, out = self._open, []
        if block["type"] == "thinking":
            block["signature"] = hashlib.sha256(block["thinking"].encode()).hexdigest()
            out.append(self._delta({"type": "signature_delta", "signature": block["signature"]}))
        out.append({"type": "content_block_stop", "index": len(self.done)})
        self.done.append(block)
        self._open = None
        return out

    def _extend(self, kind: str, delta: str, text: str) -> list[Body]:
        out = []
        if self._open is None or self._open["type"] != kind:
            empty = {"type": kind, kind: ""} | ({"signature": ""} if kind == "thinking" else {})
            out = [*self.close(), self._start(empty)]
        assert self._open is not None
        self._open[kind] += text
        return [*out, self._delta({"type": delta, kind: text})]

    def _start(self, block: Body) -> Body:
        self._open = block
        return {"type": "content_block_start", "index": len(self.done), "content_block": dict(block)}

    def _delta(self, delta: Body) -> Body:
        return {"type": "content_block_delta", "index": len(self.done), "delta": delta}


def _opening(service: Service, body: MessagesBody, active: ActiveRequest) -> Body:
    usage = {"input_tokens": len(active.handle.prompt_ids()), "output_tokens": 0}
    return {"id": active.id, "type": "message", "role": "assistant", "model": service.pool.find(body.model).name,
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip


def _closing(finish: Finish, warnings: tuple[str, ...]) -> Body:
    matched = finish.reason == "stop" and finish.stop_reason is not None
    reason = "stop_sequence" if matched else STOP_REASONS[finish.reason]
    told = [*warnings, *finish.warnings]
    out = {"stop_reason": reason, "stop_sequence": finish.stop_reason if matched else None}
    return out | {"effective": structs.asdict(finish.effective)} | ({"warnings": told} if told else {})


def _usage(finish: Finish) -> Body:
    """Anthropic's input_tokens leave out what came from the cache."""
    usage = finish.usage
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
    }


def _event(body: Body) -> bytes:
    return event(body["type"], body)
