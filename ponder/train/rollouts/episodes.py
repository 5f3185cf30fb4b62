"""Rollouts of several turns: a task with tools is played by the product's own agent loop over the trainer's engine.

    with Episodes(engine, tokenizer, turns=8, max_new_tokens=128, folder=run) as play:
        groups = play(asks, group=8)

All episodes of a draw go on at once: their loops wait for tools and for the engine in a thread of their own, while the
engine computes in this one whatever turns are there. An id does not depend on what is computed beside it, so neither do
the episodes: the same seed, weights and results of tools give the same bits.

An episode whose tools were gone is dropped and counted: a reward of 0 would blame the model. What a call gives when the
model has it wrong (no such tool, broken JSON, a time limit) is for the model to read, and the episode goes on.
"""

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import structs

from ponder.agent.loop.limits import Limits
from ponder.core.errors import UserError
from ponder.core.params import UNSHAPED, Thinking
from ponder.core.sample import Rollout, Verdict
from ponder.engine.token_model import TokenEngine
from ponder.eval.episodes import Episode, Player
from ponder.tasks.tools.world import PlayedTask
from ponder.train.rollouts.collect import TRUNCATED, Ask, verdict_of
from ponder.train.rollouts.turns import Speaker, rollout_of

MOST_LOST = 0.05  # of the episodes
TOLD = ("turns", "calls", "errors", "unknown", "malformed", "lost")
FEW = 100  # episodes of which so many may be lost as of this number


@dataclass
class _Playing:
    ask: Ask
    speaker: Speaker
    future: "Future[Episode]"


@dataclass
class Episodes:
    """turns: of the model, at most; one or two more may follow in which it can only answer. max_new_tokens: of each.
    folder: where a problem is kept whose verifier fails."""

    engine: TokenEngine
    turns: int
    max_new_tokens: int
    folder: Path
    played: int = 0
    lost: int = 0
    told: Mapping[str, float] = field(default_factory=dict)
    """Of the newest draw, an episode: turns, calls, errors, unknown (no such tool), malformed; and the share lost."""

    def __post_init__(self) -> None:
        self._player, self._wake = Player(), threading.Event()
        self._why = ""  # the last one was lost

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._player.close()

    def __call__(self, asks: Sequence[Ask], group: int) -> list[list[Rollout]]:
        """The groups, in order; those of which nothing is left are left out. Raises UserError when the tools are gone
        too often."""
        playing = [[self._start(ask, choice) for choice in range(group)] for ask in asks]
        self._compute([one.future for several in playing for one in several])
        counts: Counter[str] = Counter()
        groups = [[r for one in several if (r := self._rollout(one, counts)) is not None] for several in playing]
        if self.lost > MOST_LOST * max(FEW, self.played):
            raise UserError(
                f"{self.lost} of {self.played} episodes are lost. In the last one {self._why}. Nothing can be learned "
                "from those: put the server right, and go on with the same command",
                param="tasks", code="tools_lost",
            )  # fmt: skip
        count = len(asks) * group
        self.told = {name: counts[name] / count for name in TOLD}
        return [several for several in groups if several]

    def _start(self, ask: Ask, choice: int) -> _Playing:
        assert isinstance(ask.task, PlayedTask)
        seed = random.Random(f"{ask.seed}/{choice}").getrandbits(32)
        speaker = Speaker(self.engine, seed, self._wake.set)
        sampling = structs.replace(UNSHAPED, max_tokens=self.max_new_tokens)
        thinking = Thinking(enabled=ask.thinking, budget=ask.budget, loop_guard=False)
        limits = Limits(steps=min(self.turns, ask.task.steps))
        future = self._player.start(speaker, ask.task, ask.problem, sampling, thinking, limits)
        future.add_done_callback(lambda _: self._wake.set())
        return _Playing(ask, speaker, future)

    def _compute(self, futures: Sequence["Future[Episode]"]) -> None:
        """Until all have ended. Between two steps of the engine nothing is waited for but turns and ends."""
        left = list(futures)
        while left:
            self._wake.clear()
            if self.engine.engine.step():
                continue
            for future in [future for future in left if future.done()]:
                future.result()  # an error ends the draw at once
                left.remove(future)
            if left:
                self._wake.wait()

    def _rollout(self, one: _Playing, counts: Counter[str]) -> Rollout | None:
        episode, ask = one.future.result(), one.ask
        counts.update(episode.counts)
        self.played += 1
        if episode.lost:
            self.lost += 1
            counts["lost"] += 1
            self._why = f"the tools of {ask.task.name} were gone, {episode.lost}"
            return None
        if not one.speaker.turns:
            raise UserError(f"{ask.task.name} cannot be played: {episode.end.text}", param="tasks")
        return rollout_of(ask.problem, one.speaker.turns).graded(self._verdict(ask, episode))

    def _verdict(self, ask: Ask, episode: Episode) -> Verdict:
        if episode.cut:
            return TRUNCATED
        return verdict_of(ask.task, ask.problem, episode.outcome, episode.thoughts, self.folder)
