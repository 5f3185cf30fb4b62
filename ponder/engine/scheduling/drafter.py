"""What the engine asks of whoever drafts ahead. A draft never changes the output, only how many ids a step gives."""

from typing import Protocol

from ponder.engine.scheduling.sequence import Sequence


class Drafter(Protocol):
    """Called in the engine's thread. The sequences of `draft` miss one id each: a pure decode step follows."""

    def draft(self, sequences: list[Sequence]) -> list[list[int]]:
        """Ids that may follow each sequence; [] for none. They may be cut short where there is no room for them."""

    def learn(self, sequence: Sequence, sampled: list[int]) -> None:
        """The ids that were sampled in the step, perhaps none. Not called for a sequence that ended."""

    def measured(self, rows: int, seconds: float) -> None:
        """A step of decodes computed so many rows in so much time."""

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended, perhaps before anything was drafted."""
