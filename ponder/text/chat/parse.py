"""Token ids of an assistant turn -> events: reasoning, text, tool calls. The inverse of the renderer.

    printf '{"text": "<think>\\nhm\\n</think>\\n\\nHi"}' | ponder parse

The concatenated events are the same however the ids are cut into pieces, and streaming equals parsing at once.
Rules, each from a bug seen in the wild (docs/requirements.md):
* `<think>` and `</think>` ids never show up in a text (RS-2); special and unused ids neither (UT-3).
* Newlines that the template puts around a block or before a call are not part of the text.
* A tool call in the thoughts is text of the thoughts; one that ends them can be told apart (`pending`, TC-3).
* A call is buffered and comes out whole. Broken or cut off it stays text with its tags (TC-5), never repaired. One that
  is whole but for its closing tag is a call, where the turn ends or the next call begins. What is certain of a call
  while it is written can be had as well (`call_deltas`).
* `</tool_call>` inside an open JSON string, or an open value of an XML call, is part of it (TC-1). If that never
  ends, its beginning was the mistake: the rest is read again, every `</tool_call>` as an end, for later calls.
* `<function=NAME>` at the beginning of a line begins a call without its tag, if such a tool is offered.
* A think tag inside a call breaks the call off; an id that has no text makes it malformed, for its arguments cannot
  be written down as the model meant them.
* `<|im_end|>` or `<|endoftext|>` ends the turn: ids after it are ignored.
"""

from collections.abc import Iterable, Sequence

from ponder.core.event import Event, ReasoningDelta, TextDelta, ToolCallDone, message_of
from ponder.core.message import Message, ToolCall
from ponder.text.calls.bare_calls import BareCalls
from ponder.text.calls.begun_call import TurnCalls
from ponder.text.calls.open_call import CLOSE, OPEN, OpenCall, Tag
from ponder.text.calls.xml_calls import NO_SCHEMAS, Schemas
from ponder.text.chat.pending_calls import PendingCalls
from ponder.text.chat.phase import ControlTokens, Phase, PhaseMachine, turn_start
from ponder.text.chat.text_stream import DeltaRun, TextStream


class StreamParser:
    """Feed ids as they come; `malformed_calls` counts the calls that stayed text, `unclosed_calls` those without their
    closing tag. Call ids are `call_` + a hash of the prompt + the index in the turn: unique in a conversation, the
    same in every run.

    calls: whether there is anybody to call. Without tools a call is text, tags and all: a client that described its
    tools in words reads them itself. hold_calls: whether calls at the end of the thoughts are held back until it is
    known that nothing follows; `accept_pending` then makes calls of them. call_deltas: whether what is certain of a
    call is told while it is written (begun_call.py). schemas: of the offered tools, for calls written as XML.
    bare_calls: whether such calls of these tools may lack their tag."""

    def __init__(
        self,
        tokenizer: ControlTokens,
        prompt_ids: Sequence[int] = (),
        *,
        calls: bool = True,
        hold_calls: bool = False,
        call_deltas: bool = False,
        schemas: Schemas = NO_SCHEMAS,
        bare_calls: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._prompt_ids = tuple(prompt_ids)
        self._out = DeltaRun()
        self._reasoning = TextStream(lambda text: self._out.delta(ReasoningDelta, text))
        self._text = TextStream(lambda text: self._out.delta(TextDelta, text))
        self._machine = PhaseMachine(tokenizer)
        self._call: OpenCall | None = None
        self._reads_calls = calls
        self._schemas = schemas
        self._bare = BareCalls(schemas) if calls and bare_calls and schemas else None
        self._after_bare = False  # nothing but white space since a call without its tag
        self._hold_calls = hold_calls
        self._call_deltas = call_deltas
        self._pending: PendingCalls | None = None
        self._calls = TurnCalls(self._prompt_ids)
        self._ended = False
        self.malformed_calls = 0
        self.unclosed_calls = 0
        self._replay_prompt()

    @property
    def phase(self) -> Phase:
        """The phase of the next id, decided by ids alone (RS-2)."""
        return self._machine.phase

    def feed(self, ids: Iterable[int]) -> list[Event]:
        """The events that these ids make certain."""
        for id_ in ids:
            self._step(id_)
        return self._out.take()

    @property
    def pending(self) -> tuple[tuple[int, ...], ...]:
        """The ids of each call that the thoughts end with, if the turn ends here; () when that is anything else."""
        return () if self._pending is None else self._pending.complete(self._tokenizer)

    def accept_pending(self) -> list[Event]:
        """The turn ends after what is `pending`: these are calls, as if `</think>` stood before them."""
        assert self._pending is not None and self.pending
        self.unclosed_calls += self._pending.unclosed
        calls, self._pending, self._ended = self._pending.whole_calls, None, True
        self._reasoning.flush_character()
        self._reasoning.drop_held()
        for call in calls:
            self._out.event(self.numbered(call))
        return self._out.take()

    def release_pending(self) -> list[Event]:
        """The thoughts are cut here: what was held back is their text."""
        self._drop_pending()
        return self._out.take()

    def finish(self, *, ended: bool = False) -> list[Event]:
        """The stream is over: what was held back. ended: the model ended its turn, nothing cut it off."""
        self._drop_pending()
        self._resolve_call(ended=ended or self._ended)
        self._reasoning.flush_character()
        self._flush_text()
        for stream in (self._reasoning, self._text):
            stream.release()
        return self._out.take()

    def _replay_prompt(self) -> None:
        """Bring the parser into the state in which the prompt left the turn (RS-1): a block open or closed, a call
        begun. The prompt's own text is not ours to emit."""
        turn = self._prompt_ids[turn_start(self._tokenizer, self._prompt_ids) :]
        first = next((n for n, id_ in enumerate(turn) if id_ in self._machine.tags), len(turn))
        for id_ in turn[first:]:
            self._step(id_)
        self._drop_pending()
        self._flush_text()
        self._out.take()
        self._reasoning.drop_held()
        self._text.drop_held()
        self.malformed_calls = 0

    def _step(self, id_: int) -> None:
        tok = self._tokenizer
        if self._ended or id_ in tok.eos_ids:
            self._ended = True
            return
        before = self._machine.phase
        self._machine.advance(id_)
        if id_ == tok.think or id_ == tok.end_think:
            self._think_tag(id_, before)
        elif self._call is not None:
            self._step_in_call(self._call, id_)
        elif before == "reasoning":
            self._think(id_)
        elif not self._reads_calls and id_ in (tok.tool_call, tok.end_tool_call):
            self._flush_text()
            self._text.push(OPEN if id_ == tok.tool_call else CLOSE)
        elif id_ == tok.tool_call:
            self._flush_text()
            self._call = self._open_call()
        elif id_ != tok.end_tool_call or not self._after_bare:
            self._answer(self._text.decode(tok.text_bytes(id_)))

    def _answer(self, text: str) -> None:
        """Characters of the answer, among which a call may begin that lacks its tag."""
        while self._bare is not None and text:
            text, begun = self._bare.feed(text)
            self._after_bare = self._after_bare and not text.strip()
            self._text.push(text)
            if not begun:
                return
            self._call = self._open_call(bare=True)
            text = self._push_bare(self._call, begun)
        self._text.push(text)

    def _push_bare(self, call: OpenCall, text: str) -> str:
        """More of a call without its tag; the text after it, once it is over."""
        call.push(text)
        rest = call.cut()
        if rest is None:
            self._tell(call)
            return ""
        self._end_call(call, closed=False, over=True)
        self._call, self._after_bare = None, True
        return rest

    def _flush_text(self) -> None:
        """Something else than text comes."""
        self._answer(self._text.decode_rest())
        if self._bare is not None:
            self._text.push(self._bare.flush())
        self._after_bare = False

    def _think(self, id_: int) -> None:
        """One id of the thoughts."""
        if self._pending is not None:
            if self._pending.absorb(id_, self._tokenizer):
                return
            self._drop_pending()
        if self._hold_calls and id_ == self._tokenizer.tool_call:
            self._pending = PendingCalls(id_, self._schemas)
        else:
            self._reasoning.feed(self._tokenizer.text_bytes(id_))

    def _drop_pending(self) -> None:
        if self._pending is not None:
            ids, self._pending = self._pending.ids, None
            for id_ in ids:
                self._reasoning.feed(self._tokenizer.text_bytes(id_))

    def _think_tag(self, id_: int, before: Phase) -> None:
        self._drop_pending()
        self._resolve_call()
        if id_ == self._tokenizer.think:
            if before == "reasoning":
                return
            self._flush_text()
            if self._text.empty:
                self._text.drop_held()  # newlines before a block that opens the turn
            self._text.release()
            self._reasoning.skip_newlines = True
        else:
            if before == "reasoning":
                self._reasoning.flush_character()
                self._reasoning.drop_held()
            self._text.skip_newlines = True

    def _step_in_call(self, call: OpenCall, id_: int) -> None:
        if id_ not in (self._tokenizer.tool_call, self._tokenizer.end_tool_call):
            data = self._tokenizer.text_bytes(id_)
            if call.bare and data:  # the text's own characters, which may end it
                self._answer(self._push_bare(call, self._text.decode(data)))
            else:
                call.feed(data)
                self._tell(call)
            return
        is_close = id_ == self._tokenizer.end_tool_call
        if call.bare:
            call.push(self._text.decode_rest())
        if call.absorb_tag(CLOSE if is_close else OPEN):
            self._tell(call)
            return
        self._end_call(call, closed=is_close, over=True)
        self._call = None if is_close else self._open_call()

    def _open_call(self, *, bare: bool = False) -> OpenCall:
        return OpenCall(self._schemas, bare=bare, tells=self._call_deltas)

    def _tell(self, call: OpenCall) -> None:
        first = not self._calls.open_is_told
        if call.begun is not None and (delta := self._calls.tell(call.begun)) is not None:
            if first:
                self._text.before_call(_newlines(call))
            self._out.event(delta)

    def _end_call(self, call: OpenCall, *, closed: bool, over: bool) -> None:
        """Emit the call, or its raw text when it is not well formed. over: the model wrote all that it wanted to."""
        parsed = call.parsed(closed=closed) if over else None
        self._calls.ended(parsed)
        if parsed is None:
            self.malformed_calls += 1
            self._text.push(("" if call.bare else OPEN) + call.body + (CLOSE if closed else ""))
            return
        self.unclosed_calls += call.bare or not closed
        self._text.drop_call_newlines(_newlines(call))
        self._out.event(self.numbered(parsed))

    def numbered(self, call: ToolCall) -> ToolCallDone:
        """The next call of the turn; also for one that was read elsewhere."""
        return self._calls.done(call)

    def _resolve_call(self, *, ended: bool = False) -> None:
        """The call that is still open will get no more ids. Read its pieces again, each tag as a real one; once, so
        that the time stays linear. ended: and the model wanted no more."""
        if self._call is None:
            return
        self._call.flush_character()
        if self._call.bare:
            self._call.push(self._text.decode_rest())
        call: OpenCall | None = OpenCall(self._schemas, bare=self._call.bare)
        rest, self._call = self._call.pieces, None
        for piece in rest:
            if not isinstance(piece, Tag):
                if call is None:
                    self._text.push(piece or "")
                else:
                    call.add(piece)
                continue
            if call is not None:
                self._end_call(call, closed=piece.text == CLOSE, over=True)
            elif piece.text == CLOSE:
                self._text.push(CLOSE)
            call = None if piece.text == CLOSE else OpenCall(self._schemas)
        if call is not None:
            self._end_call(call, closed=False, over=ended)


def _newlines(call: OpenCall) -> int:
    """How many the template of the call's form has before it."""
    return 2 if call.is_xml else 1


def parse(ids: Iterable[int], tokenizer: ControlTokens, prompt_ids: Sequence[int] = ()) -> Message:
    """The whole turn as a message: parts in the order they were produced. An empty thinking block leaves no part
    (TH-3), except where the text holds a literal `</think>`, which the template would take for the end of one."""
    parser = StreamParser(tokenizer, prompt_ids)
    events = parser.feed(ids) + parser.finish()
    return message_of(events)
