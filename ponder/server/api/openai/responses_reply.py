"""The reply of POST /v1/responses: a list of items (reasoning, message, function_call), each opened, filled and closed.

The whole reply is what the stream's last event holds, so the two cannot differ. It is stored before that event goes
out, so that who has seen it can go on from it.
"""

import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import structs

from ponder.core.event import Finish
from ponder.server.api.openai.chat_reply import usage
from ponder.server.api.openai.responses_request import ResponsesBody
from ponder.server.api.openai.structs.responses import (
    CustomCallItem,
    FunctionCallItem,
    IncompleteDetails,
    ItemStatus,
    MessageItem,
    OutputItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    ResponseError,
    ResponseReply,
    ResponseUsage,
)
from ponder.server.api.openai.tools import InputStream, input_of, offered
from ponder.server.api.stream_reply import (
    CallPart,
    Closed,
    Failed,
    Opened,
    PartClosed,
    PartDelta,
    PartOpened,
    Piece,
    ReplyPart,
)
from ponder.server.http.log import log
from ponder.server.http.stream import event

PREFIX = "resp_"
IDS = {"text": "msg", "thoughts": "rs", "call": "fc", "custom": "ctc"}
DELTAS = {
    "text": "response.output_text.delta",
    "thoughts": "response.reasoning_text.delta",
    "call": "response.function_call_arguments.delta",
    "custom": "response.custom_tool_call_input.delta",
}
Body = dict[str, Any]
Store = Callable[[Body], Awaitable[bool]]


class ResponsesDialect:
    """store: keeps the reply, and says whether it did; None where it is not to be kept."""

    def __init__(self, body: ResponsesBody, model: str, store: Store | None) -> None:
        self._body, self._model, self._store = body, model, store
        self._tools = offered(body.tools)
        self._inputs: dict[int, InputStream] = {}  # of custom calls, by the index of their part
        self._created = int(time.time())
        self._id = ""
        self._number = 0  # of the next event

    async def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened(active):
                self._id = active.id
                begun = [self._event(f"response.{name}", response=self._frame()) for name in ("created", "in_progress")]
                return b"".join(begun)
            case PartOpened(part):
                return self._opened(part)
            case PartDelta(part, text):
                return self._delta(part, text)
            case PartClosed(part):
                return self._closed(part)
            case Closed():
                reply = await self.whole(piece)
                return self._event(f"response.{reply.status}", response=reply)
            case Failed(error):
                failure = ResponseError(code=error.code or error.kind, message=error.message)
                failed = structs.replace(self._frame(), status="failed", error=failure)
                told = self._event("response.failed", response=failed)
                # Codex knows the one, OpenAI's packages the other
                return told + self._event(
                    "error", message=error.message, type_=error.kind, param=error.param, code=error.code
                )
        return b""

    def alive(self) -> bytes:
        return self._event("response.in_progress", response=self._frame())

    async def whole(self, reply: Closed) -> ResponseReply:
        self._id = reply.source.id
        finish = reply.finishes[0]
        cut = finish.reason in ("length", "cancelled")
        ended = structs.replace(
            self._frame(),
            status="incomplete" if cut else "completed",
            incomplete_details=IncompleteDetails(reason="max_output_tokens") if cut else None,
            output=[self._item(part, "completed") for part in reply.parts[0]],
            usage=_usage(finish),
            effective=finish.effective,
            malformed_tool_calls=finish.malformed_calls,
            warnings=list(finish.warnings),
        )
        if self._store is not None:
            try:
                ended.store = await self._store(msgspec.to_builtins(ended))
            except sqlite3.Error:  # a full disk is no reason to lose the answer
                log.exception("response %s could not be stored", self._id)
                ended.store = False
        return ended

    def _opened(self, part: ReplyPart) -> bytes:
        item = self._item(part, "in_progress")
        added = self._event("response.output_item.added", output_index=part.index, item=item)
        if part.kind != "text":
            return added
        return added + self._of(part, "response.content_part.added", part=_output_text(part))

    def _delta(self, part: ReplyPart, text: str) -> bytes:
        kind = self._kind(part)
        if kind == "custom":
            text = self._inputs.setdefault(part.index, InputStream()).feed(text)
        return self._of(part, DELTAS[kind], delta=text) if text else b""

    def _closed(self, part: ReplyPart) -> bytes:
        match part:
            case CallPart(complete=False):
                return self._event(
                    "response.output_item.done", output_index=part.index, item=self._item(part, "incomplete")
                )
            case CallPart() if self._kind(part) == "custom":
                heard = self._inputs[part.index]
                rest = heard.finish(part.text)
                done = self._of(part, DELTAS["custom"], delta=rest) if rest else b""
                done += self._of(part, "response.custom_tool_call_input.done", input=heard.said)
            case CallPart():
                done = self._of(part, "response.function_call_arguments.done", arguments=part.text, name=part.call.name)
            case ReplyPart(kind="thoughts"):
                done = self._of(part, "response.reasoning_text.done", text=part.text)
            case _:
                done = self._of(part, "response.output_text.done", text=part.text)
                done += self._of(part, "response.content_part.done", part=_output_text(part))
        item = self._item(part, "completed")
        return done + self._event("response.output_item.done", output_index=part.index, item=item)

    def _item(self, part: ReplyPart, status: ItemStatus) -> OutputItem:
        id_, begun = self._item_id(part), status == "in_progress"
        match part:
            case CallPart():
                return self._call(part, id_, status)
            case ReplyPart(kind="thoughts"):
                content = [] if begun else [ReasoningText(text=part.text)]
                return ReasoningItem(id=id_, status=status, summary=[], content=content)
        return MessageItem(id=id_, status=status, role="assistant", content=[] if begun else [_output_text(part)])

    def _call(self, part: CallPart, id_: str, status: ItemStatus) -> FunctionCallItem | CustomCallItem:
        """A call as the client knows its tool: of a function, of a custom tool, in a namespace."""
        space, name = self._tools.spaces.get(part.call.name, ("", part.call.name))
        call_id = part.call.id or f"call_{self._suffix}_{part.number}"
        if self._kind(part) != "custom":
            return FunctionCallItem(
                id=id_, status=status, call_id=call_id, name=name, namespace=space, arguments=part.text
            )
        heard = self._inputs.get(part.index)
        said = input_of(part.text) if part.complete and part.text else heard.said if heard else ""
        return CustomCallItem(id=id_, status=status, call_id=call_id, name=name, namespace=space, input=said)

    def _kind(self, part: ReplyPart) -> str:
        return "custom" if isinstance(part, CallPart) and part.call.name in self._tools.custom else part.kind

    def _item_id(self, part: ReplyPart) -> str:
        return f"{IDS[self._kind(part)]}_{self._suffix}_{part.index}"

    @property
    def _suffix(self) -> str:
        return self._id.removeprefix(PREFIX)

    def _of(self, part: ReplyPart, kind: str, /, **more: Any) -> bytes:
        """An event about the open item."""
        place: Body = {} if part.kind == "call" else {"content_index": 0}
        odd: Body = {"logprobs": []} if kind.startswith("response.output_text.") else {}
        return self._event(kind, item_id=self._item_id(part), output_index=part.index, **place, **more, **odd)

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        body = {"type": fields.pop("type_", kind)} | fields | {"sequence_number": self._number - 1}
        return event(kind, body)

    def _frame(self) -> ResponseReply:
        body = self._body
        return ResponseReply(
            id=self._id,
            object="response",
            created_at=self._created,
            status="in_progress",
            model=self._model,
            output=[],
            instructions=body.instructions,
            tools=body.tools,
            tool_choice=body.tool_choice,
            parallel_tool_calls=body.parallel_tool_calls,
            temperature=body.temperature,
            top_p=body.top_p,
            max_output_tokens=body.max_output_tokens,
            reasoning=body.reasoning or None,
            text=body.text or {"format": {"type": "text"}},
            truncation=body.truncation,
            metadata=body.metadata,
            error=None,
            incomplete_details=None,
            usage=None,
            previous_response_id=body.previous_response_id,
            store=self._store is not None,
        )


def _output_text(part: ReplyPart) -> OutputText:
    return OutputText(text=part.text, annotations=[], logprobs=[])


def _usage(finish: Finish) -> ResponseUsage:
    counts = usage([finish])
    return ResponseUsage(
        input_tokens=counts.prompt_tokens,
        input_tokens_details=counts.prompt_tokens_details,
        output_tokens=counts.completion_tokens,
        output_tokens_details={"reasoning_tokens": finish.usage.reasoning_tokens},
        total_tokens=counts.total_tokens,
    )
