"""Conversations of a file: bad lines are named, each answer is learned as inference would have asked for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.select import conversations
from ponder.train.select.conversations import Conversation

TWO_TURNS = [
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "reasoning_content": "two and two", "content": "4"},
    {"role": "user", "content": "and 1 more? /no_think"},
    {"role": "assistant", "reasoning_content": "", "content": "5"},
]
PLAIN = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.packaged()


def lines(path: Path, *objects: Any) -> Path:
    path.write_text("\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects))
    return path


def learned(raw: list[dict[str, Any]], tokenizer: Tokenizer, **more: Any) -> list[tuple[str, str]]:
    """(what is read, what is learned), of each answer."""
    [one] = conversations.read(lines(Path(more.pop("path")), {"messages": raw, **more}))
    found = []
    for ids, counts in conversations.samples(one, tokenizer):
        first = counts.index(True)
        assert all(counts[first : len(counts) - 1]), "all of the answer, to the end of its turn"
        found.append((tokenizer.decode(ids[:first], skip_special=False),
                      tokenizer.decode([i for i, c in zip(ids, counts) if c], skip_special=False)))  # fmt: skip
    return found


def test_each_answer_is_learned_as_inference_asks_for_it(tokenizer: Tokenizer, tmp_path: Path) -> None:
    first, second = learned(TWO_TURNS, tokenizer, path=tmp_path / "a.jsonl")
    assert first[1] == "<think>\ntwo and two\n</think>\n\n4<|im_end|>"
    assert second[1] == "<think>\n\n</think>\n\n5<|im_end|>"
    asked = [Message.user("2 + 2?"), Message.assistant("4"), Message.user("and 1 more? /no_think")]
    assert second[0] == render(asked, tokenizer).text, "the thoughts of the first turn are gone"


def test_an_answer_without_thoughts_never_unlearns_to_open_a_block(tokenizer: Tokenizer, tmp_path: Path) -> None:
    [(read, said)] = learned(PLAIN, tokenizer, path=tmp_path / "a.jsonl")
    assert read == render([Message.user("hi")], tokenizer, enable_thinking=False).text
    assert said == "hello<|im_end|>"


def test_calls_are_learned_and_their_results_are_not(tokenizer: Tokenizer, tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "now", "arguments": "{}"}}
    raw = [
        {"role": "user", "content": "time?"},
        {"role": "assistant", "reasoning_content": "ask", "tool_calls": [call]},
        {"role": "tool", "content": "12:00"},
        {"role": "assistant", "reasoning_content": "so", "content": "noon"},
    ]
    tools = [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]
    calling, answering = learned(raw, tokenizer, path=tmp_path / "a.jsonl", tools=tools)
    assert "<tool_call>" in calling[1] and "<tools>" in calling[0]
    assert answering[1] == "<think>\nso\n</think>\n\nnoon<|im_end|>" and "12:00" in answering[0]


def test_bad_lines_are_named(tmp_path: Path) -> None:
    bad = ["{", {"messages": 3}, {"messages": [{"content": "x"}]}, {"messages": PLAIN[:1]}, {"messages": PLAIN[1:]},
           {"messages": PLAIN, "tools": "now"}, "7"]  # fmt: skip
    path = lines(tmp_path / "bad.jsonl", {"messages": PLAIN}, *bad)
    with pytest.raises(UserError) as error:
        conversations.read(path)
    told = str(error.value)
    assert "7 of its lines are no conversations" in told and "... and 2 more" in told
    assert "line 2: Expecting" in told and 'line 3: an object with "messages"' in told
    assert 'line 4: message 0: a message must be an object with a string "role"' in told
    assert "line 5: no message is the assistant's" in told and "line 6: it begins with the assistant" in told
    with pytest.raises(UserError, match="no conversations there"):
        conversations.read(lines(tmp_path / "empty.jsonl"))
    with pytest.raises(UserError, match="No such file"):
        conversations.read(tmp_path / "none.jsonl")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = [Conversation((Message.user("a"), Message.assistant("b", reasoning=""))),
            Conversation((Message.user("c"), Message.assistant("d")), ({"type": "function"},))]  # fmt: skip
    assert conversations.write(tmp_path / "out.jsonl", made) == 2
    assert conversations.read(tmp_path / "out.jsonl") == made
