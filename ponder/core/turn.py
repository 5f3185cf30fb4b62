"""The steps of an assistant's turn: what the model thought, said and called, and what came back.

These structs are the one description of it: stored with the message, streamed to the page, which draws them, exported
and imported. As JSON each is an object whose "kind" tells which it is (docs/web.md has the protocol).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ponder.core.event import Usage

CallState = Literal["waiting", "running", "done", "failed", "denied"]


class TurnPart(Struct, frozen=True, forbid_unknown_fields=True):
    """What is part of a turn's JSON; a field that nobody knows is an error."""


class ThoughtStep(TurnPart, frozen=True, tag_field="kind", tag="thought"):
    text: str
    seconds: float = 0.0
    tokens: int = 0
    budget: int | None = None
    """How many tokens the model may think; None without a limit."""


class TextStep(TurnPart, frozen=True, tag_field="kind", tag="text"):
    text: str


class NoteStep(TurnPart, frozen=True, tag_field="kind", tag="note"):
    """What the user should know, such as a limit that was reached."""

    text: str


class StepImage(TurnPart, frozen=True):
    media_type: str
    data: str
    """In base64; "" for one that the page does not show."""
    name: str


class CallStep(TurnPart, frozen=True, tag_field="kind", tag="call"):
    id: str
    name: str
    arguments: str
    """The JSON text that the model wrote."""
    state: CallState = "running"
    """"waiting" is for a person's approval."""
    note: str = ""
    """How far it is, or what a person is asked."""
    output: str = ""
    images: tuple[StepImage, ...] = ()
    diff: str = ""
    """What changed in the files."""
    told: str | UnsetType = UNSET
    """What the model read of the result, where that is not the output."""


Step = ThoughtStep | TextStep | NoteStep | CallStep


class TurnFacts(TurnPart, frozen=True, kw_only=True):
    """The line under a reply."""

    reason: str
    handover: str | None
    usage: Usage
    effective: dict[str, Any] | None
    used: int
    """Tokens of the context that are taken."""
    warnings: list[str]
    first_s: float | None
    """Seconds until the first text."""
    per_s: float | None
    """Tokens a second."""
    seconds: float
    context: int
    steps: int | UnsetType = UNSET
    """Of the model, in a turn with tools."""


def steps_of(message: Mapping[str, Any]) -> list[Step]:
    """Of a stored message of an assistant."""
    return msgspec.convert(message["steps"], list[Step])


def spoken(steps: Sequence[Step]) -> str:
    """What was said to the user: all texts, without thoughts and calls."""
    return "\n\n".join(s.text.strip("\n") for s in steps if isinstance(s, TextStep) and s.text.strip())
