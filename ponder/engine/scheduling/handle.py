"""How a reader follows a running request: blocking, async, one choice at a time or all together.

Leaving early cancels: breaking out of the loop, closing the generator, a cancelled task, or dropping the handle.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence, Set
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ponder.core.errors import UserError
from ponder.core.event import Event, Finish
from ponder.engine.scheduling.channel import EventChannel

if TYPE_CHECKING:
    from ponder.core.protocol import PromptProgress
    from ponder.engine.scheduling.sequence import Timings


class Followed(Protocol):
    """What a handle asks of a choice: a `Sequence` of the engine, or one that another server computes. ids: prompt and
    everything generated; prompt: how many of them are the prompt; forced: the places of those that were fed."""

    @property
    def finished(self) -> bool: ...
    @property
    def timings(self) -> "Timings": ...
    @property
    def ids(self) -> "Sequence[int]": ...
    @property
    def prompt(self) -> int: ...
    @property
    def forced(self) -> "Set[int]": ...
    def turn_ids(self) -> tuple[int, ...] | None: ...
    def progress(self) -> "PromptProgress | None": ...


class Handle:
    """One running request. Iterate it for the events of its only choice, or `choice(i)` / `merged()` when it has
    several. Every choice ends with a `Finish`, or by raising what went wrong. The methods may come from any thread."""

    def __init__(
        self,
        sequences: "Sequence[Followed]",
        channel: EventChannel,
        cancel: Callable[[Any], None],
        answer_now: Callable[[Any], None],
    ) -> None:
        """cancel, answer_now: hand the command to the engine; must be safe to call from a destructor."""
        self._sequences = sequences
        self._channel = channel
        self._cancel = cancel
        self._answer_now = answer_now

    def __len__(self) -> int:
        """How many choices there are."""
        return len(self._sequences)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Event]:
        return self.choice(self._only())

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.achoice(self._only())

    def choice(self, index: int) -> Iterator[Event]:
        try:
            for _, event in self._read({index}):
                yield event
        finally:
            self._stop([index])

    async def achoice(self, index: int) -> AsyncIterator[Event]:
        try:
            async for batch in self._aread({index}):
                for _, event in batch:
                    yield event
        finally:
            self._stop([index])

    def merged(self) -> Iterator[tuple[int, Event]]:
        """(choice, event) of all choices as they come."""
        try:
            yield from self._read(set(range(len(self))))
        finally:
            self.cancel()

    async def amerged(self) -> AsyncIterator[tuple[int, Event]]:
        try:
            async for batch in self._aread(set(range(len(self)))):
                for item in batch:
                    yield item
        finally:
            self.cancel()

    async def abatches(self, pace: float) -> AsyncIterator[list[tuple[int, Event]]]:
        """The same in lists of what has come since the last one, at most one in `pace` seconds: a reader with costs of
        its own (a write to a socket) pays them less often than there are ids."""
        try:
            async for batch in self._aread(set(range(len(self))), pace):
                yield batch
        finally:
            self.cancel()

    def progress(self) -> "PromptProgress | None":
        """Of the first choice; None where another server computes it."""
        return self._sequences[0].progress()

    def reading(self, pace: float) -> "Iterator[PromptProgress]":
        """Until the first event: every `pace` seconds how much of the prompt has been computed, where it moved (LC-6).
        Read the events afterwards."""
        known = None
        while not self._channel.begun(pace):
            if (progress := self.progress()) is not None and progress != known:
                yield (known := progress)

    async def areading(self, pace: float) -> "AsyncIterator[PromptProgress]":
        known = None
        while not await self._channel.abegun(pace):
            if (progress := self.progress()) is not None and progress != known:
                yield (known := progress)

    def cancel(self) -> None:
        """Free slots and cache blocks within one step, before the end of a long one. Idempotent;
        unfinished choices end with "cancelled"."""
        self._stop(range(len(self)))

    def answer_now(self) -> None:
        """Hand over from thinking to the answer at the next id. Does nothing once the answer has begun."""
        for sequence in self._sequences:
            self._answer_now(sequence)

    def timings(self, choice: int = 0) -> "Timings":
        return self._sequences[choice].timings

    def ids(self, choice: int = 0) -> tuple[int, ...]:
        """The exact ids generated so far, fed ones included; complete once the choice has finished."""
        sequence = self._sequences[choice]
        return tuple(sequence.ids[sequence.prompt :])

    def forced(self, choice: int = 0) -> frozenset[int]:
        """The places in `ids` of those that were fed, not sampled: the hand-over."""
        sequence = self._sequences[choice]
        return frozenset(at - sequence.prompt for at in sequence.forced)

    def turn_ids(self, choice: int = 0) -> tuple[int, ...] | None:
        """The exact ids of the assistant's turn: what the prompt began of it (an empty thinking block, say) and what
        was generated. Complete once the choice has finished; `Message.ids` takes them (HC-2). None when another
        server computes them, and for calls that were written without tags."""
        return self._sequences[choice].turn_ids()

    def prompt_ids(self) -> tuple[int, ...]:
        return tuple(self._sequences[0].ids[: self._sequences[0].prompt])

    def __del__(self) -> None:
        self.cancel()

    def _only(self) -> int:
        if len(self) > 1:
            raise UserError(f"{len(self)} choices: read them with choice(i) or merged()", param="n")
        return 0

    def _stop(self, choices: "range | list[int]") -> None:
        for index in choices:
            if not self._sequences[index].finished:
                self._cancel(self._sequences[index])

    def _read(self, choices: set[int]) -> Iterator[tuple[int, Event]]:
        while choices:
            index, event = self._channel.get(choices)
            if isinstance(event, Finish):
                choices.remove(index)
            yield index, event

    async def _aread(self, choices: set[int], pace: float = 0.0) -> AsyncIterator[list[tuple[int, Event]]]:
        while choices:
            batch = await self._channel.aget(choices)
            came = monotonic()
            choices -= {index for index, event in batch if isinstance(event, Finish)}
            yield batch
            if choices and (rest := came + pace - monotonic()) > 0:
                await self._channel.rest(choices, rest)
