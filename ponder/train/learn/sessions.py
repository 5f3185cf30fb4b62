"""Conversations from use: logs of `ponder agent --session`, and files of conversations, with what people thought.

    {"messages": [...], "rating": "down"}            # left out
    {"messages": [...], "edited": "Better: ..."}     # learned in place of the last answer

Only files that are named are read, and of each it is told what is taken. A session's answers are learned with the very
ids that were drawn; results of tools are read and not learned.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ponder.agent.loop.event import MessageAdded
from ponder.agent.loop.session import read_session
from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.train.select.conversations import Conversation, conversation_of

_SESSION = b'{"type":"session"'


class Taken(NamedTuple):
    conversations: list[Conversation]
    told: str
    """What was taken of the file, in words."""


def taken(path: Path) -> Taken:
    """Raises UserError for a file that is neither kind, or has nothing to learn."""
    try:
        with path.open("rb") as file:
            first = file.read(len(_SESSION))
    except OSError as e:
        raise UserError(f"{path}: {e.strerror}", param="files") from e
    return _of_session(path) if first == _SESSION else _of_lines(path)


def _of_session(path: Path) -> Taken:
    messages = [event.message for event in read_session(path) if isinstance(event, MessageAdded)]
    while messages and messages[-1].role != "assistant":  # a question that nobody answered
        messages.pop()
    if not any(m.role == "assistant" for m in messages):
        raise UserError(f"{path}: a session in which nothing was answered", param="files")
    answers = sum(m.role == "assistant" for m in messages)
    exact = sum(m.ids is not None for m in messages)
    return Taken([Conversation(tuple(messages))], f"{path}: a session, {answers} answers, {exact} with their own ids")


def _of_lines(path: Path) -> Taken:
    found: list[Conversation] = []
    down = edited = 0
    for n, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            one, rating, edit = conversation_of(raw), raw.get("rating"), raw.get("edited")
        except (UserError, json.JSONDecodeError, UnicodeDecodeError) as e:
            raise UserError(f"{path}, line {n}: {e}", param="files") from e
        if rating not in (None, "up", "down"):
            raise UserError(f'{path}, line {n}: a rating is "up" or "down", not {rating!r}', param="files")
        down += rating == "down" and edit is None
        edited += edit is not None
        if edit is not None:
            found.append(Conversation((*_before(one.messages, path, n), _edited(edit, path, n)), one.tools))
        elif rating != "down":
            found.append(one)
    return Taken(found, f"{path}: {len(found)} conversations, {edited} of them edited; {down} rated down are left out")


def _before(messages: Sequence[Message], path: Path, n: int) -> Sequence[Message]:
    if messages[-1].role != "assistant":
        raise UserError(f"{path}, line {n}: an edit is of the last answer, and the last message is none", param="files")
    return messages[:-1]


def _edited(text: Any, path: Path, n: int) -> Message:
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{path}, line {n}: edited must be the better answer, a text", param="files")
    return Message.assistant(text)
