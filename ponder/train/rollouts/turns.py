"""The turns of a model in an episode: asked by the agent loop as any model is, answered by the trainer's own engine.

What was drawn is kept id by id with its log-probs, and turns are put together by their ids alone: the prompt of a turn
begins with the last prompt and what was said to it, to the id, and what stands after that is the tools'. Nothing is
tokenised again. Where a prompt does not go on like that (a result was cut because the context was full; the model had
said nothing, which is left out) a new stretch begins, so that every id keeps the prompt that it was drawn after.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs

from ponder.core.event import Event, Finish, TokenLogprob
from ponder.core.protocol import Abilities, ChatStream, Health
from ponder.core.request import ChatRequest
from ponder.core.sample import Continuation, Problem, Rollout, Writer
from ponder.core.stream import WrappedStream
from ponder.engine.decoding.answer_constraint import chat_rules
from ponder.engine.decoding.prompt import PromptWriter
from ponder.engine.decoding.request_state import RequestState
from ponder.engine.decoding.settings import resolve
from ponder.engine.scheduling.handle import Handle
from ponder.engine.token_model import TokenEngine
from ponder.text.chat.template import Template, calls_are_xml, default_template


class Turn(WrappedStream):
    """Keeps log-probs and the end to itself; they are nobody's but the trainer's."""

    def __init__(self, handle: Handle, version: int) -> None:
        super().__init__(handle)
        self._handle, self._version = handle, version
        self._logprobs: list[float] = []
        self._finish: Finish | None = None

    def feed(self, event: Event) -> Iterator[Event]:
        if isinstance(event, TokenLogprob):
            self._logprobs.append(event.logprob)
            return
        if isinstance(event, Finish):
            self._finish = event
        yield event

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        return self._handle.prompt_ids()

    def said(self) -> Continuation | None:
        """None of a turn that was left before its end."""
        finish = self._finish
        if finish is None:
            return None
        ids, forced, drawn = self._handle.ids(), self._handle.forced(), iter(self._logprobs)
        writers: tuple[Writer, ...] = tuple("hand_over" if n in forced else "model" for n in range(len(ids)))
        return Continuation(
            ids=ids, writers=writers, logprobs=tuple(0.0 if n in forced else next(drawn) for n in range(len(ids))),
            thinking_tokens=finish.usage.reasoning_tokens, finish=finish.reason, handover=finish.handover,
            weights_version=self._version,
        )  # fmt: skip


class Speaker:
    """A `core.protocol.ChatModel` of one episode. seed: of its draws; each turn has numbers of its own. asked: called
    when a turn waits to be computed."""

    def __init__(self, engine: TokenEngine, seed: int, asked: Callable[[], None]) -> None:
        self._engine, self._seed, self._asked = engine, seed, asked
        self._template: Template = default_template(engine.tokenizer)
        self._prompts = PromptWriter(engine.tokenizer, engine.profile, self._template)
        self.turns: list[Turn] = []

    @property
    def abilities(self) -> Abilities:
        return Abilities(capability=self._engine.profile.capability, local=True)

    def health(self) -> Health:
        return self._engine.engine.health()

    def stream(self, request: ChatRequest) -> ChatStream:
        engine, tokenizer = self._engine, self._engine.tokenizer
        mode, rendered = self._prompts.write(request)
        tokenizer.check_ids(rendered.ids, "prompt")
        seed = (self._seed + 0x9E3779B9 * len(self.turns)) % (1 << 32)
        sampling = structs.replace(request.sampling, seed=seed, logprobs=0)
        settings = resolve(sampling, request.thinking, mode, engine.profile, len(rendered.ids))
        rules = chat_rules(tokenizer, engine.profile, request, xml=calls_are_xml(self._template))
        handle = engine.engine.submit(rendered.ids, [RequestState(settings, tokenizer, rendered.ids, rules=rules)])
        turn = Turn(handle, engine.weights_version)
        self.turns.append(turn)
        self._asked()
        return turn


class Stretch(NamedTuple):
    prompt_ids: tuple[int, ...]
    said: Continuation


def rollout_of(problem: Problem, turns: list[Turn]) -> Rollout:
    """All that was said, of one turn or more. Not graded."""
    stretches: list[Stretch] = []
    for turn in turns:
        said = turn.said()
        if said is None:
            continue
        longer = _longer(stretches[-1], turn.prompt_ids, said) if stretches else None
        if longer is not None:
            stretches[-1] = longer
        else:
            stretches.append(Stretch(turn.prompt_ids, said))
    *earlier, last = (Rollout(problem=problem, prompt_ids=s.prompt_ids, continuation=s.said) for s in stretches)
    return replace(last, earlier=tuple(earlier))


def _longer(stretch: Stretch, prompt: tuple[int, ...], said: Continuation) -> Stretch | None:
    """With one more turn; None when its prompt does not go on from it."""
    before, whole = stretch.said, (*stretch.prompt_ids, *stretch.said.ids)
    if prompt[: len(whole)] != whole:
        return None
    between = prompt[len(whole) :]
    heard: list[Writer] = ["environment"] * len(between)
    assert before.logprobs is not None and said.logprobs is not None
    joined = Continuation(
        ids=(*before.ids, *between, *said.ids),
        writers=(*before.writers, *heard, *said.writers),
        logprobs=(*before.logprobs, *[0.0] * len(between), *said.logprobs),
        thinking_tokens=before.thinking_tokens + said.thinking_tokens,
        finish=said.finish,
        handover=before.handover or said.handover,
        weights_version=before.weights_version,
    )
    return Stretch(stretch.prompt_ids, joined)
