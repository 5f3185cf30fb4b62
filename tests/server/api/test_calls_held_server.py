"""Two options about calls, over every API, streamed and whole: `tool_in_thinking` (TC-3) and a tool's `strict`."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from dialect_readers import DIALECTS
from live import server

from ponder.core.params import Thinking
from ponder.engine.llm import LLM

CALL = '<tool_call>\n{"name": "f", "arguments": {"x": "é👋"}}\n</tool_call>'
REPLIES = {"thinker": f"<think>\nHm.\n{CALL}\n", "caller": CALL, "drafter": f"<think>\n{CALL}\nNo.\n</think>\n\nNo.",
           "broken": CALL[:-16], "unclosed": CALL[:-13],
           "parameters": CALL.replace("arguments", "parameters")}  # fmt: skip
CHAT = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat"]
GOOD: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"],
                        "additionalProperties": False}  # fmt: skip
BAD: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("calls")
    for name, reply in REPLIES.items():
        (folder / f"{name}.jsonl").write_text(json.dumps({"text": reply, "answer": "So."}))
    return {name: partial(LLM, f"scripted:{folder / name}.jsonl") for name in REPLIES}


@pytest.fixture(scope="module")
def http(models: dict[str, Any]) -> Iterator[httpx.Client]:
    with server(models) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def body_of(path: str, model: str, schema: Any = None, strict: Any = None) -> dict[str, Any]:
    schema, more = schema or {"type": "object"}, {} if strict is None else {"strict": strict}
    if path == "/v1/messages":
        tool: dict[str, Any] = {"name": "f", "input_schema": schema, **more}
    elif path == "/v1/responses":
        return {
            "model": model,
            "input": "hi",
            "tools": [{"type": "function", "name": "f", "parameters": schema, **more}],
        }
    else:
        tool = {"type": "function", "function": {"name": "f", "parameters": schema, **more}}
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}


def both(http: httpx.Client, path: str, body: dict[str, Any]) -> str:
    """The reply, which is the same streamed and whole, as text to look into."""
    whole, streamed, extra = DIALECTS[path]
    body = body | ({"options": {"temperature": 0}} if path.startswith("/api") else {"temperature": 0})
    plain = http.post(path, json=body | {"stream": False})
    assert plain.status_code == 200, plain.text
    raw = http.post(path, json=body | extra | {"stream": True}).text
    lines = [x for x in raw.split("\n") if x and not x.startswith(":")]
    said = whole(plain.json())
    assert streamed(lines) == said
    return str(said)


@pytest.mark.parametrize("path", CHAT)
def test_a_call_that_ends_the_thoughts(http: httpx.Client, path: str) -> None:
    said = both(http, path, body_of(path, "thinker") | {"tool_in_thinking": "text"})
    assert "<tool_call>" in said and "So." in said
    for fields in ({}, {"tool_in_thinking": None}):
        assert "<tool_call>" not in both(http, path, body_of(path, "thinker") | fields)
    closed = body_of(path, "thinker") | {"tool_in_thinking": "close"}
    said = both(http, path, closed)
    assert "<tool_call>" not in said and "é👋" in said and "Hm." in said and "So." not in said
    reply = http.post(path, json=closed | {"stream": False}).json()
    assert "the thoughts ended with a call" in str(reply["warnings"])
    assert any(word in str(reply) for word in ("tool_calls", "tool_use", "function_call"))
    drafted = both(http, path, body_of(path, "drafter") | {"tool_in_thinking": "close"})
    assert "<tool_call>" in drafted
    wrong = http.post(path, json=closed | {"tool_in_thinking": "open"})
    assert wrong.status_code == 400 and "tool_in_thinking" in wrong.text


def test_without_tools_there_is_nothing_to_close(http: httpx.Client) -> None:
    body = {"model": "thinker", "prompt": "hi", "tool_in_thinking": "close"}
    assert "<tool_call>" in both(http, "/api/generate", body)
    raw = http.post("/v1/completions", json=body)
    assert raw.status_code == 400 and raw.json()["error"]["param"] == "tool_in_thinking"


def test_the_server_decides_where_a_request_does_not(models: dict[str, Any]) -> None:
    with server(models, thinking=Thinking(tool_in_thinking="text")) as url, httpx.Client(base_url=url) as http:
        for path in CHAT:
            assert "<tool_call>" in both(http, path, body_of(path, "thinker"))
            assert "<tool_call>" not in both(http, path, body_of(path, "thinker") | {"tool_in_thinking": "close"})
        assert http.get("/props?model=thinker").json()["thinking"]["tool_in_thinking"] == "text"


@pytest.mark.parametrize("path", CHAT)
def test_a_broken_call_is_told(http: httpx.Client, path: str) -> None:
    """TC-5: streamed and whole; what lacks its closing tag alone is a call, and so is one with "parameters"."""
    said = both(http, path, body_of(path, "broken"))
    assert "<tool_call>" in said and "é" in said
    reply = http.post(path, json=body_of(path, "broken") | {"stream": False}).json()
    assert reply["malformed_tool_calls"] == 1 and "a tool call was broken" in str(reply["warnings"])
    last = http.post(path, json=body_of(path, "broken") | {"stream": True}).text
    assert '"malformed_tool_calls":1' in last and "a tool call was broken" in last
    for model in ("unclosed", "parameters"):
        said = both(http, path, body_of(path, model))
        assert "<tool_call>" not in said and "é👋" in said
        reply = http.post(path, json=body_of(path, model) | {"stream": False}).json()
        assert any(word in str(reply) for word in ("tool_calls", "tool_use", "function_call")), reply
        assert "malformed_tool_calls" not in reply


@pytest.mark.parametrize("path", CHAT)
def test_a_strict_tool(http: httpx.Client, path: str) -> None:
    """The model wants a text where the schema has a number."""
    assert "é👋" in both(http, path, body_of(path, "caller", GOOD))
    assert "é👋" in both(http, path, body_of(path, "caller", GOOD, strict=False))
    said = both(http, path, body_of(path, "caller", GOOD, strict=True))
    assert "é👋" not in said and ("x" in said)
    both(http, path, body_of(path, "caller", BAD))
    for stream in (False, True):
        refused = http.post(path, json=body_of(path, "caller", BAD, strict=True) | {"stream": stream})
        assert refused.status_code == 400 and "strictly at #/properties/x" in refused.text, refused.text
    wrong = http.post(path, json=body_of(path, "caller", GOOD, strict="yes"))
    assert wrong.status_code == 400 and "strict" in wrong.text


def test_a_budget_holds_after_a_raw_prompt(http: httpx.Client) -> None:
    body = {"model": "drafter", "prompt": "hi", "max_tokens": 200, "logprobs": 0}
    whole = http.post("/v1/completions", json=body).json()
    cut = http.post("/v1/completions", json=body | {"thinking_budget": 2}).json()
    assert "Considering the limited time" in str(cut) or cut["usage"] != whole["usage"]
    for fields, name in (
        ({"enable_thinking": True}, "enable_thinking"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
    ):
        refused = http.post("/v1/completions", json=body | fields)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == name
