"""What is said in a terminal, in the store of the page's conversations: each goes on with what the other began.

A question is one row, and all that was thought, said and called until the next one is another. What is asked again, or
after /undo, becomes a branch, as in the page.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import structs, to_builtins

from ponder.core.errors import UserError
from ponder.core.message import Message, Reasoning, Text, ToolCall, ToolResult, messages_from_dicts
from ponder.core.turn import CallStep, Step, TextStep, ThoughtStep, spoken
from ponder.server.http.errors import ApiError
from ponder.server.web.conversations import Conversations
from ponder.server.web.turn_steps import messages_of

Turn = tuple[Message, ...]  # the messages of one row
Row = dict[str, Any]
TITLE = 60  # characters


class KeptChat:
    """The conversation of one terminal. find: where the store is, asked when it is needed first."""

    def __init__(self, find: Callable[[], Path]) -> None:
        self._find = find
        self._opened: Conversations | None = None
        self._id: str | None = None
        self._rows: list[tuple[Turn, str]] = []
        self._system: str | None = None

    @property
    def store(self) -> Conversations:
        if self._opened is None:
            self._opened = Conversations(self._find())
        return self._opened

    def keep(self, messages: Sequence[Message], system: str | None, model: str) -> None:
        """What is new of a conversation. Raises UserError where that cannot be: a full disk, somebody who writes."""
        turns = turns_of(messages)
        try:
            if self._id is not None and not self.store.has(self._id):  # deleted in the page
                self.forget()
            self._add(turns, system, model)
        except ApiError as e:
            raise UserError(str(e)) from e

    def _add(self, turns: Sequence[Turn], system: str | None, model: str) -> None:
        same = 0
        while same < min(len(turns), len(self._rows)) and self._rows[same][0] == turns[same]:
            same += 1
        if turns and not same:
            self.forget()
        del self._rows[same:]
        if self._id is None and turns:
            settings = {"system": system} if system else {}
            self._id, self._system = self.store.create(title_of(turns[0]), settings)["id"], system
        if self._id is not None and system != self._system:
            settings = {**self.store.get(self._id)["settings"], "system": system or ""}
            self.store.change(self._id, settings=settings)
            self._system = system
        for turn in turns[same:]:
            assert self._id is not None
            parent = self._rows[-1][1] if self._rows else None
            role = "user" if turn[0].role == "user" else "assistant"
            row = self.store.add(self._id, parent, role, body_of(turn, model))
            self._rows.append((turn, row["id"]))

    def open(self, id_: str) -> tuple[str | None, list[Message]]:
        """Go on with this one: its system text and its messages, of the branch that is shown."""
        try:
            whole = self.store.get(id_)
            path = self.store.path_to(id_, whole["leaf"])
        except ApiError as e:
            raise UserError(str(e)) from e
        self._id, self._system = id_, whole["settings"].get("system") or None
        self._rows = [(messages_from_dicts(messages_of(row)), row["id"]) for row in path]
        return self._system, [message for turn, _ in self._rows for message in turn]

    def all(self, query: str = "") -> list[Row]:
        """Newest first; those that hold the query."""
        return self.store.all(query)

    def named(self, name: str) -> str:
        """The id of the chat that a person means: a number of the list, newest first, or the beginning of an id."""
        found = self.all()
        if not found:
            raise UserError("there is no chat yet")
        if name.isdigit() and 1 <= int(name) <= len(found):
            return str(found[int(name) - 1]["id"])
        fitting = [row["id"] for row in found if row["id"].startswith(name)]
        if len(fitting) != 1:
            raise UserError(f"there is no chat {name!r}; `ponder logs` and /chats list them", param="chat")
        return str(fitting[0])

    def forget(self) -> None:
        """What comes next is a new conversation."""
        self._id, self._rows, self._system = None, [], None


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    turns: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not turns or turns[-1][0].role == "user":
            turns.append([])
        turns[-1].append(message)
    return [tuple(turn) for turn in turns]


def body_of(turn: Turn, model: str) -> Row:
    """A row as the page keeps it."""
    if turn[0].role == "user":
        return {"content": turn[0].text}
    steps = steps_of_messages(turn)
    return {"content": spoken(steps), "steps": to_builtins(steps), "model": model}


def steps_of_messages(turn: Turn) -> list[Step]:
    """What `server.web.turn_steps.messages_of` reads back."""
    steps: list[Step] = []
    for part in (part for message in turn for part in message.parts):
        match part:
            case Reasoning(text):
                steps.append(ThoughtStep(text))
            case Text(text):
                steps.append(TextStep(text))
            case ToolCall(name, arguments, id_):
                steps.append(CallStep(id_, name, arguments, "failed", "stopped"))
            case ToolResult(text, id_):
                for at in range(len(steps) - 1, -1, -1):
                    step = steps[at]
                    if isinstance(step, CallStep) and step.id == id_:
                        steps[at] = structs.replace(step, state="done", note="", output=text)
                        break
    return steps


def title_of(turn: Turn) -> str:
    return turn[0].text.strip().split("\n")[0][:TITLE]


def listed(rows: Sequence[Row], everything: Sequence[Row]) -> list[str]:
    """Of each the number that `KeptChat.named` takes, its date, id and title."""
    numbers = {row["id"]: n for n, row in enumerate(everything, 1)}
    return [
        f"{numbers[row['id']]:>4}  {datetime.fromtimestamp(row['changed']):%Y-%m-%d %H:%M}  {row['id'][:8]}  "
        f"{row['title'] or '-'}"
        for row in rows
        if row["id"] in numbers  # not one that came a moment later
    ]
