"""A body of a megabyte holds up nobody else, whatever asks for its tokens, and takes a place like every request."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import saying, server

from ponder.core.client import ABANDONED, Abandoned
from ponder.engine.decoding import prompt
from ponder.server.config import ServerConfig
from ponder.text.tokenizer.tokenizer import Tokenizer

KEY = {"Authorization": "Bearer " + "alice" * 4}
LONG = "word " * 200_000
DIGITS = "1" * 1_000_000
SOLID = "a" * 1_000_000
MESSAGES = [{"role": "user", "content": LONG}]
TOOL = {"name": "f", "description": LONG, "parameters": {"type": "object", "properties": {}}}
COUNTED = [
    ("/tokenize", {"content": LONG}),
    ("/tokenize", {"content": DIGITS}),
    ("/tokenize", {"content": SOLID}),
    ("/tokenize", {"messages": MESSAGES}),
    ("/v1/messages/count_tokens", {"messages": MESSAGES}),
]
REFUSED = [
    ("/v1/chat/completions", {"messages": MESSAGES}),
    ("/v1/chat/completions", {"messages": MESSAGES * 4, "truncation": "auto"}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}],
                              "tools": [{"type": "function", "function": TOOL}]}),
    ("/v1/responses", {"input": MESSAGES}),
    ("/v1/completions", {"prompt": LONG}),
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(saying(tmp_path_factory.mktemp("s"), {"s": "Yes."}), ServerConfig(api_keys=("alice" * 4,))) as base:
        yield base


@pytest.mark.parametrize("path, body", COUNTED)
def test_others_are_answered_meanwhile(base: str, path: str, body: dict[str, Any]) -> None:
    """Another client is answered all along: no wait of theirs is most of the time that counting takes."""
    replies: list[httpx.Response] = []
    asked = threading.Thread(
        target=lambda: replies.append(httpx.post(base + path, json=body, headers=KEY, timeout=120))
    )
    times = []
    with httpx.Client(base_url=base) as other:
        other.get("/health")
        asked.start()
        while asked.is_alive():
            times.append(time.monotonic())
            other.get("/health")
    times.append(time.monotonic())
    assert replies[0].status_code == 200, replies[0].text[:300]
    assert max(b - a for a, b in pairwise(times)) < 0.6 * (times[-1] - times[0])


@pytest.mark.parametrize("path, body", REFUSED)
def test_a_prompt_that_is_too_long_is_not_read_to_its_end(
    base: str, path: str, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    encode = Tokenizer._encode
    monkeypatch.setattr(Tokenizer, "_encode", lambda tok, text: read.append(len(text)) or encode(tok, text))
    reply = httpx.post(base + path, json=body, headers=KEY, timeout=60)
    assert reply.status_code == 400 and "at least" in reply.text and "context limit" in reply.text
    assert sum(read) < len(LONG) * (1 if "truncation" not in body else 6)


@pytest.mark.parametrize(
    "path, body",
    [("/tokenize", {"content": "a"}), ("/detokenize", {"tokens": [1]}),
     ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "a"}]})],
)  # fmt: skip
def test_counting_takes_a_place(tmp_path: Path, path: str, body: dict[str, Any]) -> None:
    with server(saying(tmp_path, {"s": "Yes."}), ServerConfig(queue=0), capacity=0) as base:
        post = partial(httpx.post, base + path, json=body)
        assert post().status_code == 429


def test_what_no_tokenisation_makes_short_is_not_tokenised(base: str) -> None:
    for path, body in (("/tokenize", {"content": "a" * 8_000_000}), ("/v1/messages/count_tokens", {"messages": [
        {"role": "user", "content": "a" * 8_000_000}]})):  # fmt: skip
        reply = httpx.post(base + path, json=body, headers=KEY, timeout=60)
        assert reply.status_code == 400 and "context limit" in reply.text


@pytest.mark.parametrize("path, body", [
    ("/tokenize", {"content": LONG}), ("/tokenize", {"content": "!" * 1_000_000}),
    ("/tokenize", {"messages": MESSAGES}),
    ("/apply-template", {"messages": MESSAGES}), ("/v1/messages/count_tokens", {"messages": MESSAGES}),
])  # fmt: skip
def test_who_leaves_is_not_counted_for_any_more(
    base: str, path: str, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, left, seen = threading.Event(), threading.Event(), []
    encode = Tokenizer._encode

    def slow(tok: Tokenizer, text: str) -> Any:
        seen.append(len(text))
        gone = ABANDONED.get()
        begun.set()
        assert gone is not None and gone.wait(30), "nobody said that the client left"
        try:
            return encode(tok, text)
        except Abandoned:
            left.set()
            raise

    monkeypatch.setattr(Tokenizer, "_encode", slow)
    raw, (host, port) = json.dumps(body).encode(), base.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {KEY['Authorization']}\r\n"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
        assert begun.wait(30)
    assert left.wait(30)
    assert len(seen) == 1, "the rest was not looked at"


def test_only_some_contexts_are_counted(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Combining characters are an id each, though they might have been a quarter of one."""
    read = []
    encode = Tokenizer._encode
    monkeypatch.setattr(prompt, "COUNTED", 1)
    monkeypatch.setattr(Tokenizer, "_encode", lambda tok, text: read.append(len(text)) or encode(tok, text))
    for body in ({"content": "e\u0301" * 500_000}, {"messages": [{"role": "user", "content": "e\u0301" * 500_000}]}):
        read.clear()
        reply = httpx.post(base + "/tokenize", json=body, headers=KEY, timeout=60)
        assert reply.status_code == 400 and "at least" in reply.text and "context limit is 40960" in reply.text
        assert sum(read) < 300_000


def test_pieces_of_a_long_text_are_refused(base: str) -> None:
    body = {"content": LONG, "with_pieces": True}
    reply = httpx.post(base + "/tokenize", json=body, headers=KEY, timeout=60)
    assert reply.status_code == 400 and reply.json()["error"]["param"] == "with_pieces"
