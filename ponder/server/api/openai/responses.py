"""POST /v1/responses: a reply is a list of items (reasoning, message, function_call), each opened, filled and closed.

The whole reply is what the stream's last event holds, so the two cannot differ. It is kept before that event goes out,
so that who has seen it can go on from it.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from msgspec import structs
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.request import ChatRequest
from ponder.server.api.openai.chat_reply import usage
from ponder.server.api.openai.response_store import Item, ResponseStore
from ponder.server.api.openai.responses_request import ResponsesBody, items_of, listed, responses_request
from ponder.server.http.body import parse, read_json
from ponder.server.http.errors import api_error, openai_body
from ponder.server.http.log import log
from ponder.server.http.stream import Stream, cancel_on_disconnect, event
from ponder.server.runtime.service import ActiveRequest, Service

PREFIX = "resp_"
Body = dict[str, Any]


async def responses(request: Request) -> Response:
    service: Service = request.app.state.service
    body, unknown = parse(await read_json(request, service.config), ResponsesBody, strict=service.config.strict)
    store: ResponseStore = request.app.state.responses
    items, earlier = await asyncio.to_thread(_context, store, body)
    chat, odd = responses_request(body, items, earlier)
    if body.store and not store.limit:
        odd += ("store: this server keeps no replies (--keep-responses 0)",)

    def events() -> AsyncGenerator[Body, None]:
        return _events(service, body, chat, (*unknown, *odd), None if body.store is False or not store.limit else keep)

    async def keep(reply: Body) -> bool:
        return await asyncio.to_thread(store.put, reply, listed(items, reply["id"].removeprefix(PREFIX)))

    if body.stream:
        return await Stream.sse(_encoded(events()), service.config.keep_alive)

    async def whole() -> Body:
        reply: Body = [item async for item in events()][-1]["response"]
        return reply

    return JSONResponse(await cancel_on_disconnect(request, whole))


def _context(store: ResponseStore, body: ResponsesBody) -> tuple[list[Any], list[Item]]:
    """The items of the input, and those that it continues."""
    earlier = [] if body.previous_response_id is None else store.history(body.previous_response_id)
    return store.resolve_references(items_of(body.input)), earlier


async def _encoded(events: AsyncGenerator[Body, None]) -> AsyncGenerator[bytes, None]:
    """Numbers the events. What goes wrong after the headers becomes the last one."""
    number = 0
    try:
        async for item in events:
            yield event(item["type"], item | {"sequence_number": number})
            number += 1
    except Exception as e:
        if number == 0:  # no header is out yet: let it become a status
            raise
        log.exception("a streamed response failed")
        told = openai_body(api_error(e))["error"]
        yield event("error", {"type": "error", "sequence_number": number} | told)
    finally:
        await events.aclose()


async def _events(
    service: Service,
    body: ResponsesBody,
    chat: ChatRequest,
    warnings: tuple[str, ...],
    keep: Callable[[Body], Awaitable[bool]] | None,
) -> AsyncGenerator[Body, None]:
    async with service.run_chat(body.model, chat, PREFIX) as active:
        reply = _frame(service, body, active) | {"store": keep is not None}
        yield {"type": "response.created", "response": reply}
        yield {"type": "response.in_progress", "response": reply}
        items = OutputItems(active.id.removeprefix(PREFIX))
        async for _, item in active.events():
            if not isinstance(item, Finish):
                for part in items.add(item):
                    yield part
                continue
            for part in items.close():
                yield part
            cut = item.reason in ("length", "cancelled")
            status = "incomplete" if cut else "completed"
            ended = reply | items.end(item, status, warnings)
            if keep is not None:
                try:
                    ended["store"] = await keep(ended)
                except sqlite3.Error:  # a full disk is no reason to lose the answer
                    log.exception("response %s could not be kept", reply["id"])
                    ended["store"] = False
            yield {"type": f"response.{status}", "response": ended}


class OutputItems:
    """Events -> output items. `add` and `close` give the stream's events, `done` are the finished items."""

    def __init__(self, reply: str) -> None:
        self.done: list[Body] = []
        self._reply = reply
        self._open: Body | None = None

    def add(self, item: Event) -> list[Body]:
        match item:
            case ReasoningDelta(text):
                return self._extend("reasoning", text)
            case TextDelta(text):
                return self._extend("message", text)
            case ToolCallDone(index, call):
                call_id = call.id or f"call_{self._reply}_{index}"
                made = {"type": "function_call", "call_id": call_id, "name": call.name, "arguments": ""}
                out = [*self.close(), *self._start(made)]
                made = self._current
                made["arguments"] = call.arguments
                out.append(self._event("response.function_call_arguments.delta", delta=call.arguments))
                done = {"arguments": call.arguments, "name": call.name}
                out.append(self._event("response.function_call_arguments.done", **done))
                return [*out, *self.close()]
        return []

    def close(self) -> list[Body]:
        """The end of the open item, if there is one."""
        if self._open is None:
            return []
        item, out = self._open, []
        if item["type"] == "reasoning":
            out.append(self._event("response.reasoning_text.done", content_index=0, text=item["content"][0]["text"]))
        elif item["type"] == "message":
            part = item["content"][0]
            out.append(self._event("response.output_text.done", content_index=0, text=part["text"], logprobs=[]))
            out.append(self._event("response.content_part.done", content_index=0, part=part))
        item["status"] = "completed"
        out.append({"type": "response.output_item.done", "output_index": len(self.done), "item": item})
        self.done.append(item)
        self._open = None
        return out

    def end(self, finish: Finish, status: str, warnings: tuple[str, ...]) -> Body:
        """What the finished reply says beyond its frame."""
        counts = usage([finish])
        told = [*warnings, *finish.warnings]
        return {
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "output": self.done,
            "usage": {
                "input_tokens": counts["prompt_tokens"],
                "input_tokens_details": counts["prompt_tokens_details"],
                "output_tokens": counts["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": finish.usage.reasoning_tokens},
                "total_tokens": counts["total_tokens"],
            },
            "effective": structs.asdict(finish.effective),
        } | ({"warnings": told} if told else {})

    @property
    def _current(self) -> Body:
        assert self._open is not None, "no item is open"
        return self._open

    def _extend(self, kind: str, text: str) -> list[Body]:
        out = []
        if self._open is None or self._open["type"] != kind:
            out = self.close()
            made: Body = {"type": kind}
            if kind == "message":
                made |= {"role": "assistant", "content": []}
                part: Body = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            else:
                made |= {"summary": [], "content": []}
                part = {"type": "reasoning_text", "text": ""}
            out += self._start(made)
            if kind == "message":
                out.append(self._event("response.content_part.added", content_index=0, part=dict(part)))
            self._current["content"].append(part)
        self._current["content"][0]["text"] += text
        name = "response.output_text.delta" if kind == "message" else "response.reasoning_text.delta"
        more: Body = {"logprobs": []} if kind == "message" else {}
        return [*out, self._event(name, content_index=0, delta=text, **more)]

    def _start(self, item: Body) -> list[Body]:
        prefix = {"message": "msg", "reasoning": "rs", "function_call": "fc"}[item["type"]]
        self._open = {"id": f"{prefix}_{self._reply}_{len(self.done)}", "status": "in_progress"} | item
        added: Body = self._open | ({"content": []} if "content" in item else {})
        return [{"type": "response.output_item.added", "output_index": len(self.done), "item": added}]

    def _event(self, kind: str, **more: Any) -> Body:
        return {"type": kind, "item_id": self._current["id"], "output_index": len(self.done)} | more


def _frame(service: Service, body: ResponsesBody, active: ActiveRequest) -> Body:
    return {
        "id": active.id,
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "model": service.pool.find(body.model).name,
        "output": [],
        "instructions": body.instructions,
        "tools": body.tools,
        "tool_choice": body.tool_choice,
        "parallel_tool_calls": body.parallel_tool_calls,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_output_tokens": body.max_output_tokens,
        "reasoning": body.reasoning or None,
        "text": body.text or {"format": {"type": "text"}},
        "truncation": body.truncation,
        "metadata": body.metadata,
        "error": None,
        "incomplete_details": None,
        "usage": None,
        "previous_response_id": body.previous_response_id,
    }
