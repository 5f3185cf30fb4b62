"""What a page asks of the model, and a plain reply as the source of a turn: thoughts and text, no tools."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from msgspec import Struct, field, structs, to_builtins

from ponder.agent.loop.event import Decision
from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.message import Message, messages_from_dicts
from ponder.core.params import SamplingParams, Thinking
from ponder.core.protocol import READING
from ponder.core.request import ChatRequest
from ponder.core.turn import TurnFacts
from ponder.server.http.body import parse
from ponder.server.runtime.defaults import with_defaults
from ponder.server.runtime.service import ActiveRequest, Service
from ponder.server.web.runs import Source, WebRun
from ponder.server.web.turn_steps import Row, Transcript, messages_of

PREFIX = "web-"
CLOCK_SECONDS = 0.25  # between two readings of the thoughts' clock


# what of the files of a conversation the model reads, and what is told about it (documents/fitting.py)
Files = Callable[[list[Row]], Awaitable[tuple[list[Row], str]]]


class ReplyBody(Struct, frozen=True, kw_only=True):
    """parent: the message that is answered. background: go on when nobody looks. tools: the model may act.
    message, decisions: go on with a turn that ended while calls waited, as decided by call id. go_on: with a message
    that ended too early, or that a person changed. The rest is the page's settings."""

    parent: str
    model: str = ""
    system: str = ""
    thinking: bool | None = None
    budget: int | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    background: bool = False
    tools: bool = False
    message: str | None = None
    decisions: dict[str, Decision] = field(default_factory=dict)
    go_on: bool = False


def request_of(body: ReplyBody, path: list[Row]) -> ChatRequest:
    system = (Message.system(body.system),) if body.system.strip() else ()
    messages = [m for row in path for m in messages_of(row, goes_on=row["id"] == body.message)]
    sampling, _ = parse(body.sampling, SamplingParams, strict=True)
    thinking = Thinking(enabled=body.thinking, budget=body.budget)
    return ChatRequest(
        messages=(*system, *messages_from_dicts(messages)), sampling=sampling, thinking=thinking,
        continue_final_message=body.go_on,
    )  # fmt: skip


def plain_turn(service: Service, body: ReplyBody, path: list[Row], files: Files) -> Source:
    """Raises UserError for settings that cannot hold."""
    asked = request_of(body, path)

    async def source(run: WebRun) -> AsyncGenerator[Row, None]:
        fitting, told = await files(path)
        request = request_of(body, fitting) if told else asked
        async with service.run_chat(body.model, request, PREFIX) as active:
            budget = with_defaults(request, active.llm, service.thinking).thinking.budget
            await run.open(active.handle, run.steps_so_far(budget, extend=body.go_on))
            if told:
                yield run.transcript.note(told)
            async for progress in active.handle.areading(READING):
                yield {"type": "reading", "processed": progress.processed, "total": progress.total}
            clock = 0.0
            async for _, event in active.events():
                for item in _items(active, run.transcript, event):
                    yield item
                if time.monotonic() - clock > CLOCK_SECONDS:
                    clock = time.monotonic()
                    for item in _clock(active, run.transcript):
                        yield item

    return source


def _items(active: ActiveRequest, transcript: Transcript, event: Event) -> list[Row]:
    match event:
        case ReasoningDelta(text):
            return [transcript.write("thought", text)]
        case TextDelta(text):
            return [*_clock(active, transcript), transcript.write("text", text)]
        case ToolCallDone(_, call):
            started = [*_clock(active, transcript), transcript.call(call.id, call.name, call.arguments)]
            return [*started, transcript.change(call.id, state="failed", output="There are no tools in this chat.")]
        case Finish():
            facts = to_builtins(facts_of(active, event))
            last = {"type": "finish", "facts": facts, "stopped": event.reason == "cancelled"}
            return [*_clock(active, transcript), *optional(transcript.counted(event.usage.reasoning_tokens)), last]
    return []


def _clock(active: ActiveRequest, transcript: Transcript) -> list[Row]:
    return optional(transcript.thinking(active.handle.timings().generated))


def optional(item: Row | None) -> list[Row]:
    return [] if item is None else [item]


def facts_of(active: ActiveRequest, finish: Finish) -> TurnFacts:
    timings = active.handle.timings()
    return TurnFacts(
        reason=finish.reason,
        handover=finish.handover,
        usage=finish.usage,
        effective=structs.asdict(finish.effective),
        used=finish.usage.prompt_tokens + finish.usage.completion_tokens,
        warnings=list(finish.warnings),
        first_s=round(timings.first_id_s, 3),
        per_s=round(1 / timings.per_id_s, 1) if timings.per_id_s else None,
        seconds=round(timings.finished - timings.submitted, 2),
        context=active.llm.profile.context,
    )
