"""A reply in the web chat: streamed to the page and written into the conversation as it grows.

Whatever ends it (done, stopped, the page closed, an error) what was said so far is kept.
"""

import time
from collections.abc import AsyncGenerator
from typing import Any

from msgspec import Struct, field, structs

from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.message import Message, messages_from_dicts
from ponder.core.params import SamplingParams, Thinking
from ponder.core.request import ChatRequest
from ponder.server.conversations import Conversations
from ponder.server.errors import api_error, openai_body
from ponder.server.log import log
from ponder.server.service import Active, Service
from ponder.server.stream import data

PREFIX = "web-"
WRITE_SECONDS = 1.0  # how much of a reply a killed process may lose
Row = dict[str, Any]


class ReplyBody(Struct, frozen=True, kw_only=True):
    """parent: the message that is answered. The other fields are what the page's settings say."""

    parent: str
    model: str = ""
    system: str = ""
    thinking: bool | None = None
    budget: int | None = None
    sampling: dict[str, Any] = field(default_factory=dict)


def wish_of(body: ReplyBody, path: list[Row]) -> ChatRequest:
    system = (Message.system(body.system),) if body.system.strip() else ()
    told = [{k: v for k, v in row.items() if k in ("role", "reasoning_content", "tool_calls", "tool_call_id")}
            | {"content": prompt_text(row)} for row in path]  # fmt: skip
    sampling = SamplingParams(**{k: v for k, v in body.sampling.items() if v is not None})
    thinking = Thinking(enabled=body.thinking, budget=body.budget)
    return ChatRequest(messages=(*system, *messages_from_dicts(told)), sampling=sampling, thinking=thinking)


def prompt_text(row: Row) -> str:
    """What was typed, behind the texts of the files that came with it."""
    files = [f"File {a['name']}:\n````\n{a['text']}\n````\n\n" for a in row.get("attachments", [])]
    return "".join(files) + str(row.get("content", ""))


async def reply(
    service: Service, store: Conversations, conversation: str, body: ReplyBody
) -> AsyncGenerator[bytes, None]:
    wish = wish_of(body, store.path_to(conversation, body.parent))
    async with service.run_chat(body.model, wish, PREFIX) as active:
        said: Row = {"content": "", "model": service.pool.find(body.model).name, "stopped": True}
        row = store.add(conversation, body.parent, "assistant", said)
        yield data({"type": "start", "run": active.run.id, "message": row})
        try:
            async for item in _pieces(active, store, row["id"], said):
                yield data(item)
        except Exception as e:  # the headers are out: the page shows it below what was said
            log.exception("reply %s failed", active.run.id)
            said["error"] = openai_body(api_error(e))["error"]["message"]
            yield data({"type": "error", "message": said["error"]})
        finally:
            store.write(row["id"], said)


async def _pieces(active: Active, store: Conversations, message: str, said: Row) -> AsyncGenerator[Row, None]:
    written = time.monotonic()
    async for _, event in active.events():
        if (piece := _piece(event, said)) is not None:
            yield piece
        now = time.monotonic()
        if now - written > WRITE_SECONDS:
            written = now
            store.write(message, said)
            yield {"type": "progress", "generated": active.handle.timings().generated}
        if isinstance(event, Finish):
            said["stopped"] = event.reason == "cancelled"
            said["facts"] = _facts(active, event)
            yield {"type": "finish", "facts": said["facts"], "stopped": said["stopped"]}


def _piece(event: Event, said: Row) -> Row | None:
    match event:
        case ReasoningDelta(text):
            said["reasoning_content"] = said.get("reasoning_content", "") + text
            return {"type": "reasoning", "text": text}
        case TextDelta(text):
            said["content"] += text
            return {"type": "text", "text": text}
        case ToolCallDone(_, call):
            function = {"name": call.name, "arguments": call.arguments}
            made = {"id": call.id, "type": "function", "function": function}
            said.setdefault("tool_calls", []).append(made)
            return {"type": "tool_call", "call": made}
    return None


def _facts(active: Active, finish: Finish) -> Row:
    """What the line under a reply says."""
    timings = active.handle.timings()
    return {
        "reason": finish.reason,
        "handover": finish.handover,
        "usage": structs.asdict(finish.usage),
        "effective": structs.asdict(finish.effective),
        "warnings": list(finish.warnings),
        "first_s": round(timings.first_id_s, 3),
        "per_s": round(1 / timings.per_id_s, 1) if timings.per_id_s else None,
        "seconds": round(timings.finished - timings.submitted, 2),
        "context": active.llm.profile.context,
    }
