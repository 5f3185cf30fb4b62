"""How rooms above the engine reach a model: structural types only, so that a remote engine fits as well."""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple, Protocol

from msgspec import Struct

from ponder.core.event import Event
from ponder.core.params import Capability
from ponder.core.request import ChatRequest

READING = 0.5  # seconds between two remarks on how much of a prompt has been read


class PromptProgress(NamedTuple):
    """Ids of a prompt. processed: those that are in the cache, `cached` of them found there."""

    processed: int
    total: int
    cached: int


class Abilities(Struct, frozen=True):
    """What can be asked of a model, as far as it is known without asking another server."""

    capability: Capability = "hybrid"
    """Whether it thinks, and whether that can be switched; "hybrid" where another server decides."""
    untagged_calls: bool = False
    """It may write calls without their tags; the engine reads them."""
    local: bool = False
    """It is computed in this process: its settings and the ids of its tokens are known here."""


class Health(Struct, frozen=True):
    """How an engine is (SR-4)."""

    trouble: str | None = None
    """What is wrong; None when it is well."""
    can_answer: bool = True
    """False when no request could be answered now; a fleet that is down may come back for the next one."""
    dead: bool = False
    """Its thread failed: only loading the model again helps."""
    seconds_since_step: float = 0.0
    """0 when idle; grows when a step hangs."""


class ChatStream(Protocol):
    """One running request. Iterating, in either way, yields events and ends after `Finish`; the methods may come from
    any thread."""

    def __iter__(self) -> Iterator[Event]: ...

    def __aiter__(self) -> AsyncIterator[Event]: ...

    def cancel(self) -> None:
        """Free the slot and the cache blocks within one step. Idempotent; the stream ends with "cancelled"."""

    def turn_ids(self) -> tuple[int, ...] | None:
        """The exact ids of the assistant's turn once it has finished, for `Message.ids`; None when the next prompt
        must be rendered from the message: the engine does not report ids (a remote one), or they are not in the
        template's form."""

    def progress(self) -> PromptProgress | None:
        """How much of the prompt has been computed; None where nobody here knows."""

    def answer_now(self) -> None:
        """Hand over from thinking to the answer at the next id. Does nothing once the answer has begun."""


class ChatModel(Protocol):
    """Whatever answers a `ChatRequest`: an `LLM`, a model on another server, one that does what a test says."""

    @property
    def abilities(self) -> Abilities: ...

    def health(self) -> Health: ...

    def stream(self, request: ChatRequest) -> ChatStream: ...
