"""One store for the terminal and the page: what one writes, the other reads."""

import json
from pathlib import Path

import pytest

from ponder.cli.terminal.kept import KeptChat, listed
from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall
from ponder.server.web.conversations import Conversations
from ponder.server.web.export import as_markdown
from ponder.server.web.import_chats import conversations_of


@pytest.fixture
def kept(tmp_path: Path) -> KeptChat:
    return KeptChat(lambda: tmp_path / "chat.sqlite")


def said(*texts: str) -> list[Message]:
    return [Message.user(t) if n % 2 == 0 else Message.assistant(t, reasoning="hm") for n, t in enumerate(texts)]


def test_a_chat_is_read_back_as_it_was(kept: KeptChat, tmp_path: Path) -> None:
    calls = (ToolCall("calculator", '{"expression": "17+25"}', "c1"), ToolCall("clock", "{}", "c2"))
    messages = [
        *said("Why?\nNow.", "Because."),
        Message.user("17 + 25?"),
        Message.assistant("I add.", reasoning="sum", tool_calls=calls),
        Message.tool("42", call_id="c1", name="calculator"),
        Message.tool("noon", call_id="c2", name="clock"),
        Message.assistant("It is 42."),
    ]
    kept.keep(messages[:2], None, "m")
    kept.keep(messages, "Be brief.", "m2")
    other = KeptChat(lambda: tmp_path / "chat.sqlite")
    (row,) = other.all("17 + 25")
    assert row["title"] == "Why?" and other.named(row["id"][:5]) == other.named("1") == row["id"]
    system, found = other.open(row["id"])
    assert (system, found) == ("Be brief.", messages)
    whole = other.store.get(row["id"])
    assert [m.get("model") for m in whole["messages"]] == [None, "m", None, "m2"]
    assert conversations_of(json.dumps(whole).encode()), "the page imports what `ponder logs` exports"
    assert "calculator (done)" in as_markdown(whole)
    other.keep([*found, *said("more", "yes")], system, "m")
    assert len(kept.all()) == 1 and len(kept.store.get(row["id"])["messages"]) == 6


def test_another_answer_is_a_branch(kept: KeptChat) -> None:
    kept.keep(said("q", "one", "more", "x"), None, "m")
    kept.keep(said("q", "two"), None, "m")
    (row,) = kept.all()
    messages = kept.store.get(row["id"])["messages"]
    assert [m["content"] for m in messages] == ["q", "one", "more", "x", "two"]
    assert messages[4]["parent"] == messages[0]["id"]
    assert [m.text for m in kept.open(row["id"])[1]] == ["q", "two"]


def test_what_has_nothing_in_common_is_another_chat(kept: KeptChat) -> None:
    kept.keep(said("q", "one"), None, "m")
    kept.keep(said("else", "two"), None, "m")
    assert [row["title"] for row in kept.all()] == ["else", "q"]
    assert [line.split()[0] for line in listed(kept.all("one"), kept.all())] == ["2"]
    assert listed(kept.all("one"), kept.all())[0].endswith("q")


def test_a_chat_that_the_page_deleted_begins_anew(kept: KeptChat, tmp_path: Path) -> None:
    kept.keep(said("q", "one"), None, "m")
    page = Conversations(tmp_path / "chat.sqlite")
    page.delete(page.all()[0]["id"])
    kept.keep(said("q", "one", "more", "two"), None, "m")
    assert len(kept.store.get(kept.named("1"))["messages"]) == 4


def test_a_chat_that_the_page_went_on_with(kept: KeptChat, tmp_path: Path) -> None:
    kept.keep(said("q", "one"), None, "m")
    page = Conversations(tmp_path / "chat.sqlite")
    id_ = page.all()[0]["id"]
    leaf = page.get(id_)["leaf"]
    page.add(id_, leaf, "user", {"content": "in the page", "attachments": [{"name": "a.txt", "text": "A"}]})
    _, messages = KeptChat(lambda: tmp_path / "chat.sqlite").open(id_)
    assert messages[-1].text == "File a.txt:\n````\nA\n````\n\nin the page"


def test_wrong_names(kept: KeptChat) -> None:
    with pytest.raises(UserError, match="no chat yet"):
        kept.named("1")
    kept.keep(said("q", "one"), None, "m")
    for name in ("2", "zz", "0"):
        with pytest.raises(UserError, match="ponder logs"):
            kept.named(name)
