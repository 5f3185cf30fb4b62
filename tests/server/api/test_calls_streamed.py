"""The arguments of a call go out while they are written, in every dialect that has pieces of them; what was sent stays
true. One that breaks off after that is no call: its text follows, as in the reply that is not streamed."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM

LINES = "\n".join(f"line {n}" for n in range(30))
ARGUMENTS = json.dumps({"path": "a", "content": LINES})
CALL = f'<tool_call>\n{{"name": "Write", "arguments": {ARGUMENTS}}}\n</tool_call>'
BROKEN = CALL.replace("}}\n", "}]\n")
XML = f"""<tool_call>
<function=Write>
<parameter=path>
a
</parameter>
<parameter=content>
{LINES}
</parameter>
</function>
</tool_call>"""
REPLIES = {
    "call": f"One moment.\n{CALL}\n{CALL}",
    "xml": f"One moment.\n{XML}\n{XML}",
    "broken": f"One moment.\n{BROKEN}\n{CALL}",
}
TOOL: dict[str, Any] = {"name": "Write", "parameters": {"type": "object"}}
USER = [{"role": "user", "content": "write"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": USER, "tools": [{"type": "function", "function": TOOL}]},
    "/v1/responses": {"input": "write", "tools": [{"type": "function", **TOOL}], "store": False},
    "/v1/messages": {"messages": USER, "tools": [{"name": "Write", "input_schema": {}}], "max_tokens": 4000},
}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("s")
    for name, reply in REPLIES.items():
        (folder / f"{name}.jsonl").write_text(json.dumps({"text": reply, "delay_ms": 3}) + "\n")
    models = {name: partial(LLM, f"scripted:{folder / name}.jsonl") for name in REPLIES}
    with server(models) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


def told(path: str, events: list[dict[str, Any]]) -> tuple[dict[Any, list[str]], str]:
    """(pieces of the arguments by call, text)"""
    calls: dict[Any, list[str]] = {}
    text = ""
    for event in events:
        for choice in event.get("choices", []):
            text += choice["delta"].get("content") or ""
            for piece in choice["delta"].get("tool_calls", []):
                calls.setdefault(piece["index"], []).append(piece["function"]["arguments"])
        kind, delta = event.get("type"), event.get("delta")
        if kind == "response.function_call_arguments.delta":
            calls.setdefault(event["output_index"], []).append(event["delta"])
        elif kind == "response.output_text.delta":
            text += event["delta"]
        elif kind == "content_block_delta" and delta["type"] == "input_json_delta":
            calls.setdefault(event["index"], []).append(delta["partial_json"])
        elif kind == "content_block_delta" and delta["type"] == "text_delta":
            text += delta["text"]
    return calls, text


def asked(http: httpx.Client, path: str, model: str, **more: Any) -> tuple[dict[Any, list[str]], str, list[Any]]:
    reply = http.post(path, json=BODIES[path] | {"model": model, "stream": True} | more).text
    events = [json.loads(line[6:]) for line in reply.split("\n") if line.startswith("data: {")]
    return *told(path, events), events


@pytest.mark.parametrize("model", ["call", "xml"])
@pytest.mark.parametrize("path", BODIES)
def test_arguments_come_in_pieces(http: httpx.Client, path: str, model: str) -> None:
    calls, text, _ = asked(http, path, model)
    assert text == "One moment." and len(calls) == 2
    for pieces in calls.values():
        assert "".join(pieces) == ARGUMENTS and len([p for p in pieces if p]) > 5


@pytest.mark.parametrize("path", BODIES)
def test_a_call_that_breaks_is_followed_by_its_text(http: httpx.Client, path: str) -> None:
    calls, text, events = asked(http, path, "broken")
    broken, good = calls.values()
    assert "".join(broken) == ARGUMENTS[:-1] and "".join(good) == ARGUMENTS
    assert text == f"One moment.\n{BROKEN}"
    if path == "/v1/responses":
        items = [e["item"] for e in events if e["type"] == "response.output_item.done"]
        assert [(i["type"], i["status"]) for i in items] == [
            ("message", "completed"), ("function_call", "incomplete"), ("message", "completed"),
            ("function_call", "completed"),
        ]  # fmt: skip
        assert [i["id"] for i in events[-1]["response"]["output"]] == [items[0]["id"], items[2]["id"], items[3]["id"]]


@pytest.mark.parametrize("path", BODIES)
def test_whole_and_streamed_are_equal(http: httpx.Client, path: str) -> None:
    """But for the pieces of the broken one, also the ids of the calls."""
    whole = http.post(path, json=BODIES[path] | {"model": "broken"}).text
    _, text, events = asked(http, path, "broken")
    assert json.dumps(text)[1:-1].removeprefix("One moment.") in whole.replace("One moment.", "")
    ids = [word for word in json.dumps(events).split('"') if word.startswith("call_") and word != "call_id"]
    assert ids and ids[-1] in whole and ids[0] not in whole


@pytest.mark.parametrize("path", BODIES)
def test_a_call_that_is_cut_off(http: httpx.Client, path: str) -> None:
    limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    calls, text, _ = asked(http, path, "call", **{limit: 60})
    (pieces,) = calls.values()
    assert ARGUMENTS.startswith("".join(pieces)) and pieces
    assert text.startswith('One moment.\n<tool_call>\n{"name": "Write", "arg')


def test_ollama_has_whole_calls_only(http: httpx.Client) -> None:
    body = {"model": "broken", "messages": USER, "tools": [{"type": "function", "function": TOOL}]}
    lines = [json.loads(line) for line in http.post("/api/chat", json=body).text.splitlines()]
    calls = [c["function"] for line in lines for c in line["message"].get("tool_calls", [])]
    assert [c["arguments"] for c in calls] == [json.loads(ARGUMENTS)]
