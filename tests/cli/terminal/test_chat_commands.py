"""Lines of the chat that are for us, and what Tab completes."""

from pathlib import Path

import pytest
from msgspec import structs
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from ponder.cli.documents import remark_on_files
from ponder.cli.terminal.chat_commands import help_text, is_command, run_command
from ponder.cli.terminal.completion import Commands
from ponder.cli.terminal.printer import wrapped
from ponder.cli.terminal.session import ChatSession
from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.params import SamplingParams, Thinking
from ponder.engine.decoding.settings import ModelProfile


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
    profile = ModelProfile(name="m", capability="hybrid", eos_ids=(0,), context=100, vocab=10)
    return ChatSession(profile, SamplingParams(), Thinking())


def test_a_session_that_is_logged_loses_nothing(session: ChatSession) -> None:
    session.log = Path("trip.jsonl")
    session.messages = [Message.user("q"), Message.assistant("a")]
    for line in ("/undo", "/retry", "/clear", "/new", "/load x", "/open 1", "/system Be brief."):
        with pytest.raises(UserError, match="--branch"):
            run_command(session, line)
    assert len(session.messages) == 2 and run_command(session, "/system").note == "no system text"


def test_files_go_before_the_next_question(session: ChatSession, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("Two moons.")
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    assert "notes.md: 21 characters" in run_command(session, f"/file {tmp_path}/notes.md").note
    assert session.question("How many?") == "[notes.md]\nTwo moons.\n\nHow many?"
    assert session.question("And?") == "And?"
    with pytest.raises(UserError, match="cannot see"):
        run_command(session, f"/file {tmp_path}/cat.png")
    with pytest.raises(UserError, match="To ask about that file: /file "):
        run_command(session, f"{tmp_path}/notes.md what is it?")
    assert "cannot see" in remark_on_files(f"what is in {tmp_path}/cat.png ?")
    assert remark_on_files("what is in cat.png ?") == ""


def test_another_model_that_does_not_think(session: ChatSession) -> None:
    run_command(session, "/budget 20")
    assert run_command(session, "/model other").model == "other"
    remark = session.change_model(structs.replace(session.profile, name="i", capability="instruct"))
    assert "without thinking" in remark and session.thinking == Thinking() and not session.sources


def test_a_remark_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = wrapped(help_text()).split("\n")
    assert max(map(len, lines)) <= 40 and any(line.startswith(" " * 20) for line in lines)


def completed(text: str) -> list[str]:
    return [
        c.text for c in Commands(lambda: ["qwen3:0.6b", "qwen3:4b"]).get_completions(Document(text), CompleteEvent())
    ]


def test_tab(tmp_path: Path) -> None:
    assert completed("/bu") == ["budget"] and "save" in completed("/")
    assert completed("/set temp") == ["temperature"] and completed("/budget ") == ["off"]
    (tmp_path / "talk.json").touch()
    assert completed(f"/load {tmp_path}/ta") == ["lk.json"]
    assert completed("/model qwen3:4") == ["qwen3:4b"] and completed("/stats o") == ["on", "off"]
    assert completed("what /bu") == completed("hello") == []
