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
* `</tool_call>` inside an open JSON string is part of the string (TC-1). If the string never ends, the quote was
  the mistake: the buffered rest is read again with every `</tool_call>` as an end, so that later calls survive.
* A think tag inside a call breaks the call off; an id that has no text makes it malformed, for its arguments cannot
  be written down as the model meant them.
* `<|im_end|>` or `<|endoftext|>` ends the turn: ids after it are ignored.
"""

from collections.abc import Iterable, Sequence

from ponder.core.event import Event, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.message import Message, Part, Reasoning, Text, ToolCall
from ponder.text.chat.begun_call import BegunCall, TurnCalls
from ponder.text.chat.open_call import CLOSE, OPEN, OpenCall, Tag
from ponder.text.chat.pending_calls import PendingCalls
from ponder.text.chat.phase import ControlTokens, Phase, PhaseMachine, turn_start
from ponder.text.chat.text_stream import TextStream


class StreamParser:
    """Feed ids as they come; `malformed_calls` counts the calls that stayed text, `unclosed_calls` those without their
    closing tag. Call ids are `call_` + a hash of the prompt + the index in the turn: unique in a conversation, the
    same in every run.

    calls: whether there is anybody to call. Without tools a call is text, tags and all: a client that described its
    tools in words reads them itself. hold_calls: whether calls at the end of the thoughts are held back until it is
    known that nothing follows; `accept_pending` then makes calls of them. call_deltas: whether what is certain of a
    call is told while it is written (begun_call.py)."""

    def __init__(
        self,
        tokenizer: ControlTokens,
        prompt_ids: Sequence[int] = (),
        *,
        calls: bool = True,
        hold_calls: bool = False,
        call_deltas: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._prompt_ids = tuple(prompt_ids)
        self._events: list[Event] = []
        self._run: list[str] = []  # deltas of one kind, joined when another kind follows
        self._run_kind: type[ReasoningDelta] | type[TextDelta] = TextDelta
        self._reasoning = TextStream(lambda text: self._emit(ReasoningDelta, text))
        self._text = TextStream(lambda text: self._emit(TextDelta, text))
        self._machine = PhaseMachine(tokenizer)
        self._call: OpenCall | None = None
        self._reads_calls = calls
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
        return self._drain()

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
            self._call_done(call)
        return self._drain()

    def release_pending(self) -> list[Event]:
        """The thoughts are cut here: what was held back is their text."""
        self._drop_pending()
        return self._drain()

    def finish(self, *, ended: bool = False) -> list[Event]:
        """The stream is over: what was held back. ended: the model ended its turn, nothing cut it off."""
        self._drop_pending()
        self._resolve_call(ended=ended or self._ended)
        for stream in (self._reasoning, self._text):
            stream.flush_character()
            stream.release()
        return self._drain()

    def _replay_prompt(self) -> None:
        """Bring the parser into the state in which the prompt left the turn (RS-1): a block open or closed, a call
        begun. The prompt's own text is not ours to emit."""
        turn = self._prompt_ids[turn_start(self._tokenizer, self._prompt_ids) :]
        first = next((n for n, id_ in enumerate(turn) if id_ in self._machine.tags), len(turn))
        for id_ in turn[first:]:
            self._step(id_)
        self._drop_pending()
        self._drain()
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
            self._text.flush_character()
            self._text.push(OPEN if id_ == tok.tool_call else CLOSE)
        elif id_ == tok.tool_call:
            self._text.flush_character()
            self._call = self._open_call()
        else:
            self._text.feed(tok.text_bytes(id_))

    def _think(self, id_: int) -> None:
        """One id of the thoughts."""
        if self._pending is not None:
            if self._pending.absorb(id_, self._tokenizer):
                return
            self._drop_pending()
        if self._hold_calls and id_ == self._tokenizer.tool_call:
            self._pending = PendingCalls(id_)
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
            self._text.flush_character()
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
            call.feed(self._tokenizer.text_bytes(id_))
            self._tell(call)
            return
        is_close = id_ == self._tokenizer.end_tool_call
        if call.absorb_tag(CLOSE if is_close else OPEN):
            self._tell(call)
            return
        self._end_call(call, closed=is_close, over=True)
        self._call = None if is_close else self._open_call()

    def _open_call(self) -> OpenCall:
        return OpenCall(BegunCall() if self._call_deltas else None)

    def _tell(self, call: OpenCall) -> None:
        first = not self._calls.open_is_told
        if call.begun is not None and (delta := self._calls.tell(call.begun)) is not None:
            if first:
                self._text.before_call()
            self._close_run()
            self._events.append(delta)

    def _end_call(self, call: OpenCall, *, closed: bool, over: bool) -> None:
        """Emit the call, or its raw text when it is not well formed. over: the model wrote all that it wanted to."""
        parsed = call.parsed() if over else None
        self.unclosed_calls += parsed is not None and not closed
        self._calls.ended(parsed)
        if parsed is None:
            self.malformed_calls += 1
            self._text.push(OPEN + call.body + (CLOSE if closed else ""))
            return
        self._text.drop_call_newline()
        self._call_done(parsed)

    def _call_done(self, call: ToolCall) -> None:
        self._close_run()
        self._events.append(self.numbered(call))

    def numbered(self, call: ToolCall) -> ToolCallDone:
        """The next call of the turn; also for one that was read elsewhere."""
        return self._calls.done(call)

    def _resolve_call(self, *, ended: bool = False) -> None:
        """The call that is still open will get no more ids. Read its pieces again, each tag as a real one; once, so
        that the time stays linear. ended: and the model wanted no more."""
        if self._call is None:
            return
        self._call.flush_character()
        rest, self._call = self._call.pieces, None
        call: OpenCall | None = OpenCall()
        for piece in rest:
            if not isinstance(piece, Tag):
                if call is None:
                    self._text.push(piece or "")
                else:
                    call.pieces.append(piece)
                continue
            if call is not None:
                self._end_call(call, closed=piece.text == CLOSE, over=True)
            elif piece.text == CLOSE:
                self._text.push(CLOSE)
            call = None if piece.text == CLOSE else OpenCall()
        if call is not None:
            self._end_call(call, closed=False, over=ended)

    def _emit(self, kind: type[ReasoningDelta] | type[TextDelta], text: str) -> None:
        if kind is not self._run_kind:
            self._close_run()
            self._run_kind = kind
        self._run.append(text)

    def _close_run(self) -> None:
        if self._run:
            self._events.append(self._run_kind("".join(self._run)))
            self._run = []

    def _drain(self) -> list[Event]:
        self._close_run()
        events, self._events = self._events, []
        return events


def parse(ids: Iterable[int], tokenizer: ControlTokens, prompt_ids: Sequence[int] = ()) -> Message:
    """The whole turn as a message: parts in the order they were produced. An empty thinking block leaves no part
    (TH-3), except where the text holds a literal `</think>`, which the template would take for the end of one."""
    parser = StreamParser(tokenizer, prompt_ids)
    events = parser.feed(ids) + parser.finish()
    return message_of(events)


def message_of(events: Iterable[Event]) -> Message:
    """The assistant message that a stream of events adds up to."""
    parts: list[Part] = []
    run: list[str] = []
    kind: type[Reasoning] | type[Text] = Text
    for event in events:
        if isinstance(event, ReasoningDelta | TextDelta):
            wanted = Reasoning if isinstance(event, ReasoningDelta) else Text
            if wanted is not kind:
                _close(parts, kind, run)
                kind = wanted
            run.append(event.text)
        elif isinstance(event, ToolCallDone):
            _close(parts, kind, run)
            parts.append(event.call)
    _close(parts, kind, run)
    message = Message("assistant", tuple(parts))
    if message.reasoning is None and "</think>" in message.text:
        return Message("assistant", (Reasoning(""), *parts))
    return message


def _close(parts: list[Part], kind: type[Reasoning] | type[Text], run: list[str]) -> None:
    if run:
        parts.append(kind("".join(run)))
        run.clear()
