"""One choice of one request while the engine works on it: its ids, its blocks, its control, its reader."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ponder.core.protocol import PromptProgress
from ponder.engine.scheduling.block_pool import BlockTable

if TYPE_CHECKING:
    from ponder.engine.decoding.request_state import RequestState
    from ponder.engine.scheduling.channel import EventChannel


@dataclass
class Timings:
    """Moments (time.monotonic, seconds) in the life of a choice; 0 means not yet. Set by the engine."""

    submitted: float = field(default_factory=time.monotonic)
    admitted: float = 0.0
    first_id: float = 0.0
    finished: float = 0.0
    generated: int = 0
    drafted: int = 0  # ids that were drafted for it and computed
    accepted: int = 0  # of them, those that were sampled

    @property
    def queue_s(self) -> float:
        return self.admitted - self.submitted if self.admitted else 0.0

    @property
    def first_id_s(self) -> float:
        """From submission to the first generated id."""
        return self.first_id - self.submitted if self.first_id else 0.0

    @property
    def per_id_s(self) -> float:
        """Mean time between generated ids, the first one's not counted."""
        return (self.finished - self.first_id) / (self.generated - 1) if self.finished and self.generated > 1 else 0.0


@dataclass(eq=False)
class Sequence:
    """serial: order of arrival, unique in the engine. ids: prompt and everything generated so far.
    channel, choice: where its events go.
    prompt: how many of the ids are the prompt. forced: positions of generated ids that were fed, not sampled.
    owner: whose request it is; the slots are shared among owners.
    leader: start only when this other choice of the same request has computed the prompt, to take it from the cache.

    Set by the scheduler: table, rope_factor, computed (how many ids are in the cache), cached (how many of the
    prompt's ids needed no computing when the sequence was first admitted).
    """

    serial: int
    ids: list[int]
    state: "RequestState"
    channel: "EventChannel"
    choice: int = 0
    leader: "Sequence | None" = None
    owner: str = ""
    prompt: int = 0
    forced: set[int] = field(default_factory=set)
    timings: Timings = field(default_factory=Timings)
    finished: bool = False
    cancelled: bool = False  # its cancel is among the commands; set by the reader's thread
    computed: int = 0
    cached: int | None = None
    rope_factor: float = 1.0
    table: BlockTable = field(init=False)

    def __post_init__(self) -> None:
        self.prompt = len(self.ids)

    @property
    def pending(self) -> int:
        """Ids that are not in the cache yet. At least 1 while running: logits come from computing an id."""
        return len(self.ids) - self.computed

    @property
    def may_start(self) -> bool:
        leader = self.leader
        return leader is None or leader.finished or leader.computed >= leader.prompt

    def progress(self) -> PromptProgress:
        return PromptProgress(min(self.computed, self.prompt), self.prompt, self.cached or 0)

    def turn_ids(self) -> tuple[int, ...] | None:
        """See `Handle.turn_ids`."""
        if not self.state.in_template_form:
            return None
        prompt_ids = tuple(self.ids[: self.prompt])
        start = self.state.turn_start(prompt_ids)  # 0: there is no turn
        return (prompt_ids[start + 1 :] if start else ()) + tuple(self.ids[self.prompt :])  # after the newline

    def admit(self, table: BlockTable, rope_factor: float, cached: int) -> None:
        """A slot was given; the first `cached` ids are in the blocks of `table` already."""
        self.table, self.rope_factor, self.computed = table, rope_factor, cached
        if self.cached is None:
            self.cached = cached
            self.timings.admitted = time.monotonic()
