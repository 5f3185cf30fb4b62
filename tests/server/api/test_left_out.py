"""Images and the like in what was said before: a short text in their place, in every dialect. In the question: 400."""

from collections.abc import Callable
from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.server.api.anthropic.messages_request import messages_of as anthropic
from ponder.server.api.ollama.chat_request import messages_of as ollama
from ponder.server.api.openai.chat_request import messages_of as openai

NO_IMAGE = "[an image was left out: this model reads text only]"
Turn = dict[str, Any]


def said(role: str, *parts: Any, **more: Any) -> Turn:
    return {"role": role, "content": list(parts), **more}


def text(value: str) -> Turn:
    return {"type": "text", "text": value}


URL: Turn = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
SOURCE: Turn = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
OK: Turn = {"role": "assistant", "content": "ok"}
DIALECTS: dict[str, tuple[Callable[[list[Turn]], tuple[Message, ...]], Turn]] = {
    "openai": (openai, said("user", text("see"), URL)),
    "ollama": (ollama, {"role": "user", "content": "see", "images": ["iVBO"]}),
    "anthropic": (lambda raw: anthropic("", raw), said("user", text("see"), SOURCE)),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_picture_of_an_earlier_turn(name: str) -> None:
    read, seen = DIALECTS[name]
    found = read([seen, OK, {"role": "user", "content": "and now?"}])
    assert [m.role for m in found] == ["user", "assistant", "user"]
    assert found[0].text.replace("\n", "") == f"see{NO_IMAGE}" and found[2].text == "and now?"


@pytest.mark.parametrize("name", DIALECTS)
def test_a_picture_in_the_question(name: str) -> None:
    read, seen = DIALECTS[name]
    for raw in ([seen], [{"role": "user", "content": "hi"}, OK, seen]):
        with pytest.raises(UserError, match="text only"):
            read(raw)


def test_a_picture_from_a_tool() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    asked = [{"role": "user", "content": "see"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    result = said("tool", text("a"), URL, tool_call_id="c")
    assert openai([*asked, result])[-1] == Message.tool(f"a{NO_IMAGE}", call_id="c")
    assert openai([*asked, result, said("user", URL)])[-1].text == NO_IMAGE, "what an agent adds in the user's name"


def test_claude_code_reads_a_picture() -> None:
    use = {"type": "tool_use", "id": "t", "name": "Read", "input": {"file_path": "a.png"}}
    given = {"type": "tool_result", "tool_use_id": "t", "content": [SOURCE]}
    raw = [said("user", text("see")), said("assistant", use), said("user", given, text("the picture"), SOURCE)]
    found = anthropic("", raw)
    assert found[2] == Message.tool(NO_IMAGE, call_id="t")
    assert found[3] == Message.user(f"the picture{NO_IMAGE}")


def test_blocks_that_hold_text_in_other_ways() -> None:
    paper = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a paper"}}
    pages = {"type": "document", "source": {"type": "content", "content": [text("p1"), SOURCE]}}
    scan = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}
    hit = {"type": "search_result", "title": "t", "source": "u", "content": [text("found")]}
    assert anthropic("", [said("user", paper, pages, hit)])[0].text == f"a paperp1{NO_IMAGE}found"
    with pytest.raises(UserError, match="'document'"):
        anthropic("", [said("user", scan)])
    assert "a document was left out" in anthropic("", [said("user", scan), OK, said("user", text("x"))])[0].text


def test_blocks_of_servers_that_are_not_here() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "code_execution", "input": {"code": "1"}}
    odd = said("assistant", search, text("done"))
    note = (
        '[server_tool_use {"name": "code_execution", "input": {"code": "1"}} was left out: nothing is known of it here]'
    )
    assert anthropic("", [said("user", text("x")), odd])[1].text == f"{note}done"
