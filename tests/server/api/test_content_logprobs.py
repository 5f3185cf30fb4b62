"""The entries of `logprobs.content` spell the content, byte for byte, whatever surrounds it."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import openai
import pytest
from live import saying, server

from ponder.core.event import TokenLogprob
from ponder.server.api.content_logprobs import ContentLogprobs

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": "bye"}}\n</tool_call>'
REPLIES = {
    "duck": "<think>\nHm 🦆.\n</think>\n\nYes 🦆 STOP tail",
    "newlines": "<think>\n\n</think>\n\n\n\n> quoted\n\n\nand 很久以前\n\n",
    "call": f"<think>\nHm.\n</think>\n\nSo:\n\n{CALL}\n{CALL}\nbye bye",
    "broken": "<think>\nHm.\n</think>\n\nSo:\n<tool_call>\noops\n</tool_call>\nbye",
    "none": f"<think>\nHm.\n</think>\n\n{CALL}",
    "flag": "🏳️‍🌈👨‍👩‍👧‍👦 STOP",
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(saying(tmp_path_factory.mktemp("scripts"), REPLIES)) as base:
        yield base


@pytest.mark.parametrize("more", [{}, {"stop": ["STOP"]}, {"stop": ["🦆 S"]}, {"enable_thinking": False}, {"n": 2}])
@pytest.mark.parametrize("name", REPLIES)
def test_they_spell_the_content_streamed_and_not(url: str, name: str, more: dict[str, Any]) -> None:
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    plain = {k: v for k, v in more.items() if k != "enable_thinking"}
    ask = partial(
        client.chat.completions.create, model=name, messages=[{"role": "user", "content": "x"}], tools=[TOOL], seed=1,
        logprobs=True, top_logprobs=1, extra_body={k: v for k, v in more.items() if k not in plain}, **plain,
    )  # fmt: skip
    reply = ask()
    whole: dict[int, Any] = {}
    for choice in reply.choices:
        content = choice.message.content or ""
        assert choice.logprobs is not None
        entries = choice.logprobs.content or []
        assert b"".join(bytes(e.bytes or ()) for e in entries).decode() == content
        whole[choice.index] = [(e.token, e.logprob) for e in entries]
    streamed: dict[int, list[Any]] = {choice.index: [] for choice in reply.choices}
    text: dict[int, bytes] = dict.fromkeys(streamed, b"")
    for chunk in ask(stream=True):
        for part in chunk.choices:
            found = part.logprobs.content or [] if part.logprobs is not None else []
            streamed[part.index] += [(e.token, e.logprob) for e in found]
            text[part.index] += b"".join(bytes(e.bytes or ()) for e in found)
    assert streamed == whole
    assert {i: t.decode() for i, t in text.items()} == {c.index: c.message.content or "" for c in reply.choices}


def test_ollama_reports_the_same(url: str) -> None:
    body = {"model": "duck", "messages": [{"role": "user", "content": "x"}], "logprobs": True, "think": True}
    whole = httpx.post(url + "/api/chat", json=body | {"stream": False}).json()
    lines = [json.loads(line) for line in httpx.post(url + "/api/chat", json=body).text.splitlines()]
    spelt = "".join(e["token"] for e in whole["logprobs"])
    assert whole["message"]["content"].split()[0] in spelt and "<|im_end|>" not in spelt
    assert [e for line in lines for e in line.get("logprobs", ())] == whole["logprobs"]


def test_a_character_that_is_cut_off_and_what_is_held_back() -> None:
    def note(content: ContentLogprobs, *pieces: bytes) -> None:
        for n, piece in enumerate(pieces):
            content.note(TokenLogprob(n, piece, -1.0))

    content = ContentLogprobs()
    note(content, b"a", b"\n\n", b"<tool_call>", b"{}", b"</tool_call>", b"b", b"\xf0\x9f", b"<|im_end|>")
    assert [e.bytes for e in content.show("a\n")] == [b"a"]
    assert [e.bytes for e in content.call()] == [b"\n"], "one of its two newlines is the template's"
    assert [e.bytes for e in content.show("b")] == [b"b"]
    assert [e.bytes for e in content.show("\ufffd")] == [b"\xf0\x9f"]
    assert content.finish() == []
