"""Calls that a model without thoughts writes as plain JSON are calls in every API; anything else stays text."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM

CALL = '{"name": "get_weather", "arguments": {"city": "Köln"}}'
TOOL: dict[str, Any] = {
    "name": "get_weather", "description": "Weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip
CHAT = {"messages": [{"role": "user", "content": "Weather?"}], "tools": [{"type": "function", "function": TOOL}]}
Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(reply) -> the URL of a server whose model says just this."""
    running: list[Any] = []

    def make(reply: str, **model: Any) -> str:
        about = {"vocab": "qwen2.5", "capability": "instruct"} | model
        (tmp_path / "s.jsonl").write_text(json.dumps({"model": about}) + "\n" + json.dumps({"text": reply}) + "\n")
        running.append(server({"s": lambda: LLM(f"scripted:{tmp_path / 's.jsonl'}")}))
        return str(running[-1].__enter__())

    yield make
    for each in running:
        each.__exit__(None, None, None)


def chat(base: str, **more: Any) -> dict[str, Any]:
    """The choice, whole; the stream must say the same."""
    url, body = base + "/v1/chat/completions", CHAT | more
    whole = httpx.post(url, json=body).json()["choices"][0]
    lines = httpx.post(url, json=body | {"stream": True}).text.splitlines()
    chunks = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    assert "".join(c["delta"].get("content") or "" for c in chunks) == (whole["message"]["content"] or "")
    calls: dict[int, str] = {}
    for part in (p for c in chunks for p in c["delta"].get("tool_calls", ())):
        calls[part["index"]] = calls.get(part["index"], "") + part["function"]["arguments"]
    said = [c["function"]["arguments"] for c in whole["message"].get("tool_calls", ())]
    assert [*calls.values()] == said and chunks[-1]["finish_reason"] == whole["finish_reason"]
    return dict(whole)


@pytest.mark.parametrize("text", [CALL, f"```json\n{CALL}\n```", f"{CALL.replace('get_weather', 'getWeather')}\n"])
def test_a_call(start: Start, text: str) -> None:
    choice = chat(start(text))
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None and call["id"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Köln"}


def test_words_behind_a_call_end_it(start: Start) -> None:
    base = start(f"```json\n{CALL}\n```\n\nIt is sunny, " + "and so on, " * 300)
    choice = chat(base)
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    usage = httpx.post(base + "/v1/chat/completions", json=CHAT).json()["usage"]
    assert usage["completion_tokens"] < 500, "the rest was not waited for"
    two = httpx.post(base + "/v1/chat/completions", json=CHAT | {"n": 2}).json()["choices"]
    assert [c["finish_reason"] for c in two] == ["tool_calls", "tool_calls"]


def test_several_calls_or_one(start: Start) -> None:
    base = start(f"{CALL}\n{CALL.replace('Köln', 'Bonn')}")
    assert len(chat(base)["message"]["tool_calls"]) == 2
    assert len(chat(base, parallel_tool_calls=False)["message"]["tool_calls"]) == 1


@pytest.mark.parametrize(
    "text, more",
    [
        (CALL.replace("get_weather", "other"), {}),
        (f"Here it is:\n{CALL}", {}),
        (CALL, {"tool_choice": "none"}),
        (CALL, {"tools": []}),
        (CALL, {"tools": [{"type": "function", "function": TOOL | {"strict": True, "parameters": {
            **TOOL["parameters"], "required": ["city"], "additionalProperties": False}}}]}),
        ("```json\n" + '{"a": 1}' + "\n```", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_what_stays_text(start: Start, text: str, more: dict[str, Any]) -> None:
    choice = chat(start(text), **more)
    assert (choice["message"]["content"] or "") == text and "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"


def test_a_model_that_thinks_writes_tags(start: Start) -> None:
    base = start("<think>\n\n</think>\n\n" + CALL, vocab="qwen3", capability="hybrid")
    assert chat(base)["message"]["content"] == CALL


def test_in_the_other_dialects(start: Start) -> None:
    base = start(CALL)
    asked = [{"role": "user", "content": "Weather?"}]
    schema = TOOL["parameters"]
    reply = httpx.post(base + "/v1/messages", json={"messages": asked, "max_tokens": 99, "tools": [
        {"name": "get_weather", "input_schema": schema}]}).json()  # fmt: skip
    assert reply["stop_reason"] == "tool_use" and reply["content"][0]["input"] == {"city": "Köln"}
    reply = httpx.post(
        base + "/api/chat", json={"model": "s", "messages": asked, "tools": CHAT["tools"], "stream": False}
    ).json()
    assert reply["message"]["tool_calls"][0]["function"]["arguments"] == {"city": "Köln"}
    reply = httpx.post(base + "/v1/responses", json={"input": "Weather?", "tools": [
        {"type": "function", "name": "get_weather", "parameters": schema}]}).json()  # fmt: skip
    assert [item["type"] for item in reply["output"]] == ["function_call"]
