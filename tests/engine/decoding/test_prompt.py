"""LC-1: what is left out of a conversation that is too long, when that is asked for; nothing otherwise."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live import server

from ponder.core.errors import ContextLengthExceeded
from ponder.core.message import Message, messages_from_dicts
from ponder.engine.decoding.prompt import Messages, truncated
from ponder.engine.llm import LLM


def conversation(rng: random.Random, turns: int) -> Messages:
    """Turns with calls and results, system messages anywhere."""
    told: list[dict[str, object]] = [{"role": "system", "content": "first"}] * rng.randrange(2)
    for n in range(turns):
        told.append({"role": "user", "content": f"q{n} " + "word " * rng.randrange(30)})
        if rng.random() < 0.4:
            call = {"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}}
            told.append({"role": "assistant", "content": "", "tool_calls": [call]})
            told.append({"role": "tool", "tool_call_id": f"c{n}", "content": "r " * rng.randrange(20)})
        if rng.random() < 0.1:
            told.append({"role": "system", "content": f"rule {n}"})
        if n < turns - 1:
            told.append({"role": "assistant", "content": f"a{n}"})
    return messages_from_dicts(told)


def test_as_little_as_must_go_and_never_a_part_of_a_turn() -> None:
    rng = random.Random(4)
    for _ in range(400):
        messages = conversation(rng, rng.randrange(1, 40))
        limit, asked = rng.randrange(1, 60), 0

        def fits(part: Messages, limit: int = limit) -> bool:
            nonlocal asked
            asked += 1
            return len(part) <= limit

        kept = truncated(messages, fits)
        assert asked <= 14, "a few conversations are rendered, not all"
        starts = [n for n, m in enumerate(messages) if m.role == "user"]
        candidates = []
        for begin in starts[1:] if len(starts) > 1 else []:
            head = [m for m in messages[:begin] if m.role == "system"]
            candidates.append((*head, *messages[begin:]))
        best = next((c for c in candidates if len(c) <= limit), candidates[-1] if candidates else messages)
        assert kept == best, "the longest that fits, or the last turn alone"
        assert [m for m in kept if m.role == "system"] == [m for m in messages if m.role == "system"]
        assert kept[-1] == messages[-1]


@pytest.fixture
def llm(tmp_path: Path) -> Iterator[LLM]:
    lines = [{"model": {"context": 400}}, "Yes."]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with LLM(f"scripted:{tmp_path / 's.jsonl'}") as llm:
        yield llm


def test_a_request_that_asks_is_shortened_and_told(llm: LLM) -> None:
    turns = [m for n in range(30) for m in (Message.user(f"question {n} /no_think"), Message.assistant("a " * 9))]
    messages = [Message.system("Rules."), *turns, Message.user("and now?")]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    with pytest.raises(ContextLengthExceeded):
        llm.chat(messages)
    result = llm.chat(messages, truncation="auto", max_tokens=40, tools=tools)
    (warning,) = result.finish.warnings
    prompt = llm.tokenizer.decode(result.prompt_ids, skip_special=False)
    assert "Rules." in prompt and "and now?" in prompt and '"name": "f"' in prompt and "question 0 " not in prompt
    assert 300 < len(result.prompt_ids) <= 360 and result.finish.usage.prompt_tokens == len(result.prompt_ids)
    full = len(llm.render(messages, tools=tools).ids)
    gone = 1 + len(turns) + 1 - prompt.count("<|im_start|>") + 1
    assert result.finish.effective.truncated_tokens == full - len(result.prompt_ids)
    assert warning == f"truncation: the {gone} oldest messages were left out ({full - len(result.prompt_ids)} tokens)"

    alone = llm.chat(messages[-1:], truncation="auto")
    assert not alone.finish.warnings and not alone.finish.effective.truncated_tokens
    assert alone.finish.effective.thinking
    with pytest.raises(ContextLengthExceeded):  # the last turn is never cut
        llm.chat([*messages, Message.user("word " * 500)], truncation="auto")


@pytest.mark.parametrize("api", ["/v1/chat/completions", "/v1/responses"])
def test_over_http(llm: LLM, api: str) -> None:
    turns = [{"role": role, "content": "word " * 20} for _ in range(12) for role in ("user", "assistant")]
    messages = [*turns, {"role": "user", "content": "and now?"}]
    with server({"s": lambda: llm}) as base:
        for stream in (False, True):
            body = {"messages": messages, "input": messages, "stream": stream}
            body.pop("input" if "chat" in api else "messages")
            refused = httpx.post(base + api, json=body)
            assert refused.status_code == 400 and "the context limit is 400" in refused.text
            told = httpx.post(base + api, json=body | {"truncation": "auto"})
            assert told.status_code == 200 and "oldest messages were left out" in told.text
            assert re.search(r'"truncated_tokens": ?[1-9]', told.text), told.text
        assert httpx.post(base + api, json=body | {"truncation": "middle"}).status_code == 400
