"""How rooms above the engine reach a model: structural types only, so that a remote engine fits as well."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ponder.core.event import Event
from ponder.core.request import ChatRequest

READING = 0.5  # seconds between two remarks on how much of a prompt has been read


class PromptProgress(NamedTuple):
    """Ids of a prompt. processed: those that are in the cache, `cached` of them found there."""

    processed: int
    total: int
    cached: int


class ChatStream(Protocol):
    """One running request. Iterating yields events and ends after `Finish`; the methods may come from any thread."""

    def __iter__(self) -> Iterator[Event]: ...

    def cancel(self) -> None:
        """Free the slot and the cache blocks within one step. Idempotent; the stream ends with "cancelled"."""

    def turn_ids(self) -> tuple[int, ...] | None:
        """The exact ids of the assistant's turn once it has finished, for `Message.ids`; None when the engine does not
        report them (a remote one)."""

    def progress(self) -> PromptProgress | None:
        """How much of the prompt has been computed; None where nobody here knows."""

    def answer_now(self) -> None:
        """Hand over from thinking to the answer at the next id. Does nothing once the answer has begun."""


class ChatModel(Protocol):
    def stream(self, request: ChatRequest) -> ChatStream: ...
