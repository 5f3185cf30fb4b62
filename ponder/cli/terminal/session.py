"""A conversation in a terminal: messages, settings and where each setting came from (TH-5). No terminal in here."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.message import Message, message_from_dict
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.request import ChatRequest
from ponder.engine.decoding.settings import ModelProfile, choose_mode

if TYPE_CHECKING:
    from ponder.cli.terminal.kept import KeptChat


def nothing() -> Sequence[str]:
    return ()


@dataclass
class ChatSession:
    """profile: the loaded model's abilities and defaults.
    sampling, thinking: what was asked for; None in them is "the model's default for the mode in force".
    sources: setting name -> "flag" or "/command", for the ones that were asked for.
    kept: the store that holds what is said; None for a chat that is not kept. log: the file of an agent's session,
    from which nothing can be taken. models, tools: their names, for /model and /tools. stats: a line on speed after
    each answer. attached: texts of files that go before the next question.
    """

    profile: ModelProfile
    sampling: SamplingParams
    thinking: Thinking
    grammar: Grammar | None = None
    system: str | None = None
    messages: list[Message] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    kept: "KeptChat | None" = None
    log: Path | None = None
    models: Callable[[], Sequence[str]] = nothing
    tools: Callable[[], Sequence[str]] = nothing
    stats: bool = False
    attached: list[str] = field(default_factory=list)
    _files: dict[Path, bytes] = field(default_factory=dict)  # files that hold this conversation, as they were last seen

    def context(self) -> list[Message]:
        """What was said so far, the system text first."""
        head = [Message.system(self.system)] if self.system is not None else []
        return [*head, *self.messages]

    def request(self, text: str) -> ChatRequest:
        """The request that asks `text` next. The conversation itself changes only in `answered`."""
        return ChatRequest(
            messages=(*self.context(), Message.user(text)),
            sampling=self.sampling,
            thinking=self.thinking,
            grammar=self.grammar,
        )

    def answered(self, question: str, reply: str, reasoning: str | None) -> None:
        self.messages += [Message.user(question), Message.assistant(reply, reasoning=reasoning)]

    def question(self, text: str) -> str:
        """What is asked: the files that were attached, then the text."""
        whole = "\n\n".join([*self.attached, text])
        self.attached.clear()
        return whole

    def keep(self) -> str:
        """Put what was said into the store. -> why that was not possible, or ""."""
        if self.kept is None:
            return ""
        try:
            self.kept.keep(self.messages, self.system, self.profile.name)
        except (UserError, OSError) as e:
            self.kept = None
            return f"this chat is not kept: {e}"
        return ""

    def go_on(self, id_: str) -> None:
        """With a chat of the store."""
        assert self.kept is not None
        self.system, self.messages = self.kept.open(id_)

    def change_model(self, profile: ModelProfile) -> str:
        """-> a remark, where the new one cannot do what was asked for."""
        self.profile = profile
        try:
            choose_mode(self.thinking, self.messages, profile)
        except UserError as e:
            self.thinking = Thinking()
            for name in ("enabled", "budget"):
                self.sources.pop(name, None)
            return f"{e}: thinking is as this model has it"
        return ""

    def undo(self) -> str | None:
        """Drop the last question with everything after it; returns the question, None if there was none."""
        for i in range(len(self.messages) - 1, -1, -1):
            if self.messages[i].role == "user":
                question = self.messages[i].text
                del self.messages[i:]
                return question
        return None

    def set_sampling(self, name: str, value: Any, source: str) -> None:
        """value None goes back to the model's default. Raises UserError for a value out of range."""
        self.sampling = structs.replace(self.sampling, **{name: value})
        self._note(name, value, source)

    def set_thinking(self, name: str, value: Any, source: str) -> None:
        """value None goes back to the default. Raises UserError for a mode that the model does not have."""
        thinking = structs.replace(self.thinking, **{name: value})
        choose_mode(thinking, self.messages, self.profile)  # refuses what this model cannot do
        self.thinking = thinking
        self._note(name, value, source)

    def _note(self, name: str, value: Any, source: str) -> None:
        self.sources.pop(name, None)
        if value is not None:
            self.sources[name] = source

    def save(self, path: Path) -> None:
        """The conversation as a JSON list of messages; the file is replaced only when the new one is complete.

        Raises UserError for a file that this would take something from: one that this conversation neither wrote nor
        was read from, or that was changed since, and that is not its beginning either."""
        messages = [m.to_dict() for m in self.context()]
        text = (json.dumps(messages, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")
        try:
            if os.path.lexists(path) and not (path.is_file() and self._may_replace(path, json.loads(text))):
                raise UserError(f"{path} exists and holds something else; choose another name, or delete it first")
            with replacing(path) as file:
                file.write(text)
            self._files[path.resolve()] = text
        except OSError as e:
            raise UserError(f"cannot save to {path}: {e.strerror}") from e

    def _may_replace(self, path: Path, messages: list[Any]) -> bool:
        content = path.read_bytes()
        if not content or self._files.get(path.resolve()) == content:
            return True
        try:
            earlier = json.loads(content)
        except (ValueError, RecursionError):
            return False
        return isinstance(earlier, list) and messages[: len(earlier)] == earlier

    def load(self, path: Path) -> None:
        """Replace the conversation by a saved one: a JSON list of messages in the OpenAI form."""
        try:
            content = path.read_bytes()
            raw = json.loads(content.decode("utf-8"))
        except OSError as e:
            raise UserError(f"cannot read {path}: {e.strerror}") from e
        except ValueError as e:
            raise UserError(f"{path} is not JSON: {e}") from e
        if not isinstance(raw, list):
            raise UserError(f"{path} must hold a JSON list of messages")
        messages = [message_from_dict(m) for m in raw]
        has_system = bool(messages) and messages[0].role == "system"
        self.system = messages[0].text if has_system else None
        self.messages = messages[1:] if has_system else messages
        self._files[path.resolve()] = content
