"""Every tool_choice, with and without parallel calls, thoughts and streaming, for names that are no identifiers (TC-2,
TC-3, TC-4, TC-8). The model wants two calls, and drafts one in its thoughts."""

import json
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM

NAMES = ("wetter.de-Stadt_ß", "get_time", "a.b-c")
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in NAMES]
CHOICES: dict[str, Any] = {
    "auto": "auto", "none": "none", "required": "required",
    "named": {"type": "function", "function": {"name": "a.b-c"}},
}  # fmt: skip


def call(name: str, **arguments: str) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"


WANTED = f"{call(NAMES[0], q='ü {')}\n{call('get_time')}"
REPLIES = {"thinks": f"<think>\nPerhaps {call('get_time', q='a draft')}?\n</think>\n\n{WANTED}", "does not": WANTED}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("choices")
    models = {}
    for name, reply in REPLIES.items():
        script: Path = folder / f"{name}.jsonl"
        script.write_text(json.dumps({"text": reply}))
        models[name] = partial(LLM, f"scripted:{script}")
    with server(models) as url, httpx.Client(base_url=url, timeout=60) as opened:
        yield opened


def folded(text: str) -> tuple[dict[str, Any], str]:
    """(message, finish_reason) of a streamed reply; every id and name once, in the first delta of its call (TC-2)."""
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": []}
    reason = ""
    for line in text.split("\n"):
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            delta, reason = choice["delta"], choice["finish_reason"] or reason
            message["content"] += delta.get("content") or ""
            message["reasoning_content"] += delta.get("reasoning_content") or ""
            for piece in delta.get("tool_calls") or []:
                if piece["index"] == len(message["tool_calls"]):
                    assert piece["id"] and piece["type"] == "function" and piece["function"]["name"]
                    message["tool_calls"].append({**piece, "function": dict(piece["function"])})
                else:
                    assert piece.keys() == {"index", "function"} and piece["function"].keys() == {"arguments"}
                    message["tool_calls"][piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return message, reason


@pytest.mark.parametrize(
    ("model", "choice", "parallel", "stream"), list(product(REPLIES, CHOICES, (True, False), (True, False)))
)
def test_tool_choice(http: httpx.Client, model: str, choice: str, parallel: bool, stream: bool) -> None:
    body = {
        "model": model, "messages": [{"role": "user", "content": "Go."}], "tools": TOOLS, "stream": stream,
        "tool_choice": CHOICES[choice], "parallel_tool_calls": parallel, "enable_thinking": model == "thinks",
    }  # fmt: skip
    reply = http.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    if stream:
        message, reason = folded(reply.text)
    else:
        message, reason = reply.json()["choices"][0]["message"], reply.json()["choices"][0]["finish_reason"]
    calls = message.get("tool_calls") or []
    assert all(isinstance(json.loads(c["function"]["arguments"]), dict) for c in calls)
    assert len({c["id"] for c in calls}) == len(calls)
    names = [c["function"]["name"] for c in calls]
    wanted = {"auto": list(NAMES[:2]), "none": [], "required": list(NAMES[:2]), "named": ["a.b-c"] * 2}[choice]
    assert names == (wanted if parallel else wanted[:1])
    assert reason == ("tool_calls" if calls else "stop")
    assert "tool_call>" not in (message["content"] or "")
    assert ("a draft" in (message.get("reasoning_content") or "")) == (model == "thinks")
