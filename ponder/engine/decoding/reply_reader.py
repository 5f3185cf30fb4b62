"""From the ids of one reply to its events: the parser, and after it what holds text back."""

from collections.abc import Callable, Sequence

from ponder.core.event import Event
from ponder.engine.decoding.answer_constraint import AnswerRules
from ponder.engine.decoding.output_buffer import OutputBuffer
from ponder.engine.decoding.settings import RequestSettings
from ponder.text.chat.parse import StreamParser
from ponder.text.chat.phase import Phase
from ponder.text.chat.raw import RawParser
from ponder.text.chat.silent import SilentParser
from ponder.text.tokenizer.tokenizer import Tokenizer


class ReplyReader:
    """output: where the events go."""

    def __init__(
        self,
        settings: RequestSettings,
        tokenizer: Tokenizer,
        prompt_ids: Sequence[int],
        rules: AnswerRules,
        *,
        raw: bool,
        silent: bool = False,
    ) -> None:
        """raw, silent: see `RequestState`."""
        self._silent = SilentParser(tokenizer, prompt_ids) if silent else None
        self.has_phases = not raw or settings.effective.budget is not None
        """Thoughts and calls are told apart from the answer."""
        may_close = settings.thinking.tool_in_thinking != "text" and not rules.no_calls
        may_call = not rules.text_calls
        self._parser: StreamParser = self._silent or (
            RawParser(tokenizer, prompt_ids)
            if raw
            else StreamParser(
                tokenizer,
                prompt_ids,
                calls=may_call,
                hold_calls=may_call and may_close,
                call_deltas=rules.call_deltas,
                schemas=rules.schemas,
                bare_calls=rules.bare_calls,
            )
        )
        sampling = settings.sampling
        self.output = OutputBuffer(
            sampling.stop, in_reasoning=sampling.stop_in_reasoning, untagged=rules.untagged_reader()
        )
        self._no_text = tokenizer.eos_ids

    @property
    def phase(self) -> Phase:
        """The phase of the next id."""
        return self._parser.phase if self.has_phases else "answer"

    @property
    def in_template_form(self) -> bool:
        """Whether the ids are what the template would write. Calls that lack a tag are not: in the next prompt they
        stand with tags, because what a model was trained on keeps it from saying the same again."""
        return not self.output.untagged_calls and not self._parser.unclosed_calls

    @property
    def malformed_calls(self) -> int:
        return self._parser.malformed_calls + self.output.malformed_calls

    def feed(self, id_: int) -> None:
        """An end token of the vocabulary that does not end this model is no text."""
        if self._silent is not None:
            self._silent.feed((id_,))
        elif id_ not in self._no_text:
            self._put(lambda: self._parser.feed([id_]))

    def feed_verbatim(self, id_: int) -> None:
        """An id that nobody sampled: no stop string can stand in it."""
        self.output.put(self._parser.feed([id_]), verbatim=True)

    @property
    def pending(self) -> Sequence[tuple[int, ...]]:
        """The ids of calls with which the thoughts end so far."""
        return self._parser.pending

    def accept_pending(self) -> None:
        """They are calls."""
        self.output.put(self._parser.accept_pending())

    def release_pending(self) -> None:
        """They are thoughts."""
        self.output.put(self._parser.release_pending())

    def close(self, *, ended: bool) -> None:
        """The reply ends: what is held back comes out, and may still complete a stop string. ended: by the model."""
        self._put(lambda: self._parser.finish(ended=ended))
        self.output.close(self._parser.numbered)

    def _put(self, parse: Callable[[], list[Event]]) -> None:
        """A call that turns out broken becomes text, in which no stop string counts."""
        malformed = self._parser.malformed_calls
        events = parse()
        self.output.put(events, verbatim=self._parser.malformed_calls > malformed)
