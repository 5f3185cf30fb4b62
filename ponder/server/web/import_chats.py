"""Conversations from a file that `export` wrote: one, or a list of them, checked whole before anything is stored.

A file is untrusted: what the page draws must have the shape it draws, and messages must be a tree. What does not fit is
a 400 that says where; a field that nobody knows is refused, too, for storing it would promise that it means something.
Ids are replaced, so a file that is read twice gives two conversations and replaces nothing.
"""

import time
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from ponder.core.turn import CallStep, Step, TextStep, TurnFacts
from ponder.server.http.errors import ApiError
from ponder.server.web.turn_steps import Row

Title = Annotated[str, Meta(max_length=200)]


class Checked(Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields that are UNSET were not in the file, and are not stored."""


class ImportedFile(Checked):
    name: Title
    text: str
    tokens: int | UnsetType = UNSET


class ImportedMessage(Checked):
    """Where a message stands in its tree."""

    id: str
    parent: str | None
    content: str
    created: float = field(default_factory=time.time)


class ImportedUser(ImportedMessage, tag_field="role", tag="user"):
    attachments: list[ImportedFile] | UnsetType = UNSET


class ImportedAssistant(ImportedMessage, tag_field="role", tag="assistant"):
    """steps: where a file has none, the content is the only one."""

    steps: list[Step] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    facts: TurnFacts | UnsetType | None = UNSET
    stopped: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET


Tag = Annotated[str, Meta(min_length=1, max_length=40)]


class PageSettings(Checked):
    """Of the page (web/settings.js)."""

    model: str | UnsetType = UNSET
    thinking: bool | UnsetType = UNSET
    budget: int | UnsetType | None = UNSET
    system: str | UnsetType = UNSET
    sampling: dict[
        Literal["temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
                "repetition_penalty", "max_tokens", "seed"], float] | UnsetType = UNSET  # fmt: skip
    background: bool | UnsetType = UNSET
    tools: bool | UnsetType = UNSET


class ImportedConversation(Checked):
    title: Title
    messages: list[ImportedUser | ImportedAssistant]
    leaf: str | None = None
    settings: PageSettings = field(default_factory=PageSettings)
    pinned: bool = False
    tags: list[Tag] = field(default_factory=list)
    id: str = ""
    created: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)


def checked_settings(raw: Row | None) -> Row | None:
    """What the page wants to keep for a conversation. Raises ApiError 400 for what an import would refuse."""
    if raw is not None:
        try:
            msgspec.convert(raw, PageSettings)
        except msgspec.ValidationError as e:
            text, _, path = str(e).partition(" - at `")
            where = "settings" + path.rstrip("`").removeprefix("$")
            raise ApiError(400, f"{where}: {text}", param=where) from e
    return raw


def conversations_of(raw: bytes) -> list[Row]:
    """The conversations of a file, as `Conversations.put` takes them. Raises ApiError 400."""
    try:
        found = msgspec.json.decode(raw, type=list[ImportedConversation] | ImportedConversation)
    except msgspec.ValidationError as e:
        text, _, path = str(e).partition(" - at `")
        where = path.rstrip("`").removeprefix("$").removeprefix(".") or "file"
        raise ApiError(400, f"not a conversation that Ponder exported: {where}: {text}", param=where) from e
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise ApiError(400, f"the file is not JSON: {e}", param="file") from e
    many = found if isinstance(found, list) else [found]
    if not many:
        raise ApiError(400, "the file holds no conversation", param="file")
    return [_row(each, f"[{n}]." if isinstance(found, list) else "") for n, each in enumerate(many)]


def _row(conversation: ImportedConversation, where: str) -> Row:
    known: set[str | None] = {None}
    for n, message in enumerate(conversation.messages):
        at = f"{where}messages[{n}]"
        if message.id in known:
            raise ApiError(400, f"{at}.id: there is another message {message.id!r}", param=f"{at}.id")
        if message.parent not in known:
            text = f"{at}.parent: {message.parent!r} is not a message before it"
            raise ApiError(400, text, param=f"{at}.parent")
        known.add(message.id)
        if isinstance(message, ImportedAssistant):
            _settle(message)
    if conversation.leaf not in known:
        raise ApiError(400, f"{where}leaf {conversation.leaf!r} is not one of the messages", param=f"{where}leaf")
    row: Row = msgspec.to_builtins(conversation)
    return row


def _settle(message: ImportedAssistant) -> None:
    """Nobody carries out what a file says is still to be done: a call that ran or waited was not carried out."""
    steps = [TextStep(message.content)] if message.steps is UNSET else message.steps
    message.steps = [
        structs.replace(step, state="failed", note="stopped")
        if isinstance(step, CallStep) and step.state in ("running", "waiting")
        else step
        for step in steps
    ]
