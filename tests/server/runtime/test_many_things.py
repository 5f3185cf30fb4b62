"""Bodies of many small things are refused before they are converted; bodies that are being read have a budget; one that
breaks off is no failure of ours."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from live import saying, server

from ponder.core.client import CLIENT
from ponder.server.config import ServerConfig
from ponder.server.http.body import BodyBudget
from ponder.server.http.bounds import check_bytes
from ponder.server.http.errors import ApiError

HI = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"
MANY = 20_000


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(saying(tmp_path_factory.mktemp("s"), {"s": "Yes."}), ServerConfig()) as base:
        yield base


@pytest.mark.parametrize(
    "path, body, field",
    [
        (CHAT, {"messages": HI * MANY}, "messages"),
        (CHAT, {"messages": HI, "tools": [{}] * 2000}, "tools"),
        (CHAT, {"messages": HI, "tools": [{}] * 600_000}, "body"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * MANY}]}, "messages"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 90}] * 900}, "messages"),
        (CHAT, {"messages": HI, "logit_bias": {str(n): 1 for n in range(MANY)}}, "logit_bias"),
        (CHAT, {"messages": HI, "stop": ["a"] * MANY}, "stop"),
        (CHAT, {"messages": HI, "stop": ["s" * 100_000]}, "stop"),
        (CHAT, {"messages": HI, "response_format": {"type": "json_schema", "json_schema": {
            "schema": {"enum": [str(n) for n in range(MANY)]}}}}, "response_format"),
        (CHAT, {"messages": HI, **{f"u{n}": 1 for n in range(MANY)}}, "body"),
        (CHAT, {"messages": HI, **{f"u{n}\\": 1 for n in range(600_000)}}, "500000 fields"),
        ("/v1/responses", {"input": HI * MANY}, "input"),
        ("/v1/completions", {"prompt": ["a"] * MANY}, "prompt"),
        ("/v1/embeddings", {"input": ["a"] * MANY}, "input"),
        ("/detokenize", {"tokens": [1] * 1_500_000}, "tokens"),
        ("/v1/messages", {"messages": HI, "max_tokens": 1, "system": [{"type": "text", "text": "a"}] * MANY}, "system"),
        ("/api/chat", {"model": "s", "messages": HI * MANY}, "messages"),
        ("/v1/rerank", {"query": "a", "documents": ["a"] * MANY}, "documents"),
        ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [{}] * 600_000}, "body"),
    ],
)  # fmt: skip
def test_many_small_things_are_refused_by_name(base: str, path: str, body: dict[str, Any], field: str) -> None:
    reply = httpx.post(base + path, json=body, timeout=60)
    assert reply.status_code == 400 and field in reply.text[:300], reply.text[:300]


def test_what_people_send_is_taken(base: str) -> None:
    turns = [{"role": role, "content": "a"} for _ in range(1000) for role in ("user", "assistant")]
    tools = [{"type": "function", "function": {"name": f"f{n}", "parameters": {"type": "object"}}} for n in range(100)]
    code = '{"a": [1, {"b": "' + "}{[]" * 3000 + '"}]}'
    body = {"messages": [*turns, *HI], "tools": tools, "stop": ["x" * 1000], "logit_bias": {"1": 1}}
    assert httpx.post(base + CHAT, json=body, timeout=60).status_code == 200
    assert httpx.post(base + "/tokenize", json={"content": code}).status_code == 200
    check_bytes(json.dumps({"content": '"' * 1_200_000}).encode())
    assert len(httpx.post(base + "/detokenize", json={"tokens": [1] * 100_000}).json()["content"]) == 100_000


def test_bodies_of_a_client_and_of_all_have_a_budget() -> None:
    budget = BodyBudget(each=1 << 20, total=1 << 21)

    def room(client: str) -> Any:
        CLIENT.set(client)
        return budget.room()

    with room("alice") as alice, room("alice") as again:
        alice(900_000)
        with pytest.raises(ApiError) as e:
            again(900_000)
        assert e.value.status == 429
        with room("alice") as small:
            small(BodyBudget.SMALL)
        with room("bob") as bob, room("carol") as carol:
            bob(1_000_000)
            with pytest.raises(ApiError) as e:
                carol(1_000_000)
            assert e.value.status == 503
    with room("carol") as carol:
        carol(1_000_000)
    CLIENT.set("")
    assert not budget._taken.total()


def test_a_body_that_breaks_off_is_no_failure_of_ours(base: str, caplog: pytest.LogCaptureFixture) -> None:
    where = urlsplit(base)
    with caplog.at_level(logging.INFO, "ponder.server"):
        for path in (CHAT, "/web/extract?name=a.txt", "/web/import", "/mcp"):
            with socket.create_connection((where.hostname or "", where.port or 0)) as s:
                head = f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: 100\r\n\r\n"
                s.sendall(head.encode() + json.dumps({"messages": HI}).encode()[:20])
        deadline = time.monotonic() + 20
        while len(caplog.records) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [record.__dict__["fields"]["status"] for record in caplog.records] == [499] * 4
    assert not any(record.levelno > logging.INFO or record.exc_info for record in caplog.records)
