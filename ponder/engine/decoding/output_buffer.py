"""From the parser's events to what the caller gets: stop strings applied, order kept.

Where the model writes calls without tags, text that may be one waits here, and comes out as calls or as text.
Stop strings act on answer text only, unless `stop_in_reasoning`; never on the hand-over sentence, never inside a tool
call, also not when the call was malformed and became text (RS-5).
"""

from collections.abc import Callable, Iterable

from ponder.core.event import Event, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.message import ToolCall
from ponder.engine.decoding.stop import StopMatcher
from ponder.text.calls.untagged_calls import UntaggedCalls


class OutputBuffer:
    """`put` parser events, `take` what may be delivered. After a match `matched` is the stop string, and everything
    later is dropped. calls: how many tool calls were delivered."""

    def __init__(self, stops: tuple[str, ...], *, in_reasoning: bool, untagged: UntaggedCalls | None = None) -> None:
        """untagged: reads calls without tags; None for a model that writes tags, or where there is nothing to call."""
        self._text = StopMatcher(stops)
        self._reasoning = StopMatcher(stops if in_reasoning else ())
        self._untagged = untagged
        self._out: list[Event] = []
        self.calls = 0

    @property
    def matched(self) -> str | None:
        return self._text.matched or self._reasoning.matched

    def put(self, events: Iterable[Event], *, verbatim: bool = False) -> None:
        """verbatim: these texts are exempt from stop strings."""
        for event in events:
            if self.matched:
                return
            if isinstance(event, ReasoningDelta):
                self._reasoning_delta(event.text, verbatim)
            elif isinstance(event, TextDelta):
                self._text_delta(event.text, verbatim)
            else:
                self.flush()
                self._release_untagged()
                self.calls += isinstance(event, ToolCallDone)
                self._out.append(event)

    def note(self, event: Event) -> None:
        """An event outside the text (a log-probability): delivered at once, nothing is flushed."""
        self._out.append(event)

    def flush(self) -> None:
        """Give out what the matchers hold: the text ends or is interrupted here."""
        if not self.matched:
            self._emit(ReasoningDelta, self._reasoning.flush())
            self._emit(TextDelta, self._text.flush())

    def close(self, numbered: Callable[[ToolCall], ToolCallDone]) -> None:
        """The reply ends. numbered: gives a call without tags its number and id."""
        self.flush()
        if self._untagged is not None:
            self._append(TextDelta, self._untagged.finish())
            self._out += map(numbered, self._untagged.calls)

    @property
    def untagged_calls(self) -> int:
        """How many calls without tags were read."""
        return 0 if self._untagged is None else len(self._untagged.calls)

    @property
    def malformed_calls(self) -> int:
        """How many calls without tags could not be read."""
        return 0 if self._untagged is None else self._untagged.malformed

    @property
    def calls_over(self) -> bool:
        """Words follow the calls: nothing of use comes any more."""
        return self._untagged is not None and self._untagged.over and bool(self._untagged.calls)

    def take(self) -> list[Event]:
        out, self._out = self._out, []
        return out

    def _reasoning_delta(self, text: str, verbatim: bool) -> None:
        self._emit(TextDelta, self._text.flush())
        text = self._reasoning.flush() + text if verbatim else self._reasoning.feed(text)
        self._emit(ReasoningDelta, text)

    def _text_delta(self, text: str, verbatim: bool) -> None:
        self._emit(ReasoningDelta, self._reasoning.flush())
        text = self._text.flush() + text if verbatim else self._text.feed(text)
        self._emit(TextDelta, text)

    def _emit(self, kind: type[ReasoningDelta] | type[TextDelta], text: str) -> None:
        if kind is TextDelta and self._untagged is not None:
            text = self._untagged.feed(text)
        self._append(kind, text)

    def _release_untagged(self) -> None:
        """A call in tags comes: what was held back before it is text."""
        if self._untagged is not None:
            self._append(TextDelta, self._untagged.release())

    def _append(self, kind: type[ReasoningDelta] | type[TextDelta], text: str) -> None:
        if text:
            self._out.append(kind(text))
