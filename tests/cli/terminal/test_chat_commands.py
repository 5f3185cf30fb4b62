"""Lines of the chat that are for us, and what Tab completes."""

from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from ponder.cli.terminal.chat_commands import is_command, run_command
from ponder.cli.terminal.completion import Commands
from ponder.cli.terminal.session import ChatSession


@pytest.mark.parametrize("line", ["/exit", "/bye", "/quit", "exit", "quit", " Bye ", "EXIT"])
def test_every_way_to_leave(line: str, session: ChatSession) -> None:
    assert is_command(line) and run_command(session, line).leave


@pytest.mark.parametrize("line", ["exit strategy?", "how do I quit vim", "/think why?", "bye, and thanks"])
def test_what_is_a_question(line: str) -> None:
    assert not is_command(line)


def test_a_question_mark_is_help(session: ChatSession) -> None:
    assert "/budget" in run_command(session, "/?").note


@pytest.fixture
def session() -> ChatSession:
    from ponder.core.params import SamplingParams, Thinking
    from ponder.engine.decoding.settings import ModelProfile

    profile = ModelProfile(name="m", capability="hybrid", eos_ids=(0,), context=100, vocab=10)
    return ChatSession(profile, SamplingParams(), Thinking())


def completed(text: str) -> list[str]:
    return [c.text for c in Commands().get_completions(Document(text), CompleteEvent())]


def test_tab(tmp_path: Path) -> None:
    assert completed("/bu") == ["budget"] and "save" in completed("/")
    assert completed("/set temp") == ["temperature"] and completed("/budget ") == ["off"]
    (tmp_path / "talk.json").touch()
    assert completed(f"/load {tmp_path}/ta") == ["lk.json"]
    assert completed("what /bu") == completed("hello") == []
