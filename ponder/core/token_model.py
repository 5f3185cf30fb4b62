"""A model as evaluation and reinforcement learning see it: ids in, ids out, and who wrote each of them.

Structural types only, so that the local engine and a remote one fit alike. Nothing here is asynchronous: the whole
list is given at once and the engine batches it as it likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ponder.core.errors import UserError
from ponder.core.params import SamplingParams, Thinking
from ponder.core.sample import Continuation


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """One prompt to continue."""

    prompt_ids: tuple[int, ...]
    """[P] as rendered; whether thoughts are open at its end is read from the ids."""
    sampling: SamplingParams = field(default_factory=SamplingParams)
    """n continuations share the prompt. The draw at position p of continuation c depends on (seed, c, p) alone, never
    on what else is in the batch; without a seed the engine draws one."""
    thinking: Thinking = field(default_factory=Thinking)
    """The budget, and what else forces ids into the continuation."""

    def __post_init__(self) -> None:
        if not self.prompt_ids:
            raise UserError("there is no prompt to continue: prompt_ids is empty", param="prompt_ids")


class TokenModel(Protocol):
    """Whatever continues ids, and tells who wrote each: the engine, for rollouts and scores."""

    @property
    def weights_version(self) -> int:
        """0 at the start, one more after each `weights_changed`. Constant for a model that nobody trains."""

    def sample(self, requests: Sequence[TokenRequest]) -> list[tuple[Continuation, ...]]:
        """For each request, in order, its n continuations in order of choice."""

    def weights_changed(self) -> int:
        """The weights were changed in place: forget what was computed with the old ones, and give the new version.
        Raises UserError while requests run, and where the weights cannot be changed at all."""
