"""SR-5: real clients leave after minutes without an event, and count no comments (Claude Code not even `ping`). So a
silence holds events that say nothing: while the prompt is read, between two parts, while a part is written."""

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.server.api.anthropic.open_blocks import EMPTY, OpenBlocks
from ponder.server.config import ServerConfig

LONG = "word " * 600
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": LONG}]},
    "/v1/completions": {"prompt": LONG, "max_tokens": 20},
    "/v1/responses": {"input": LONG, "store": False},
    "/v1/messages": {"messages": [{"role": "user", "content": LONG}], "max_tokens": 500},
    "/api/chat": {"messages": [{"role": "user", "content": LONG}]},
    "/api/generate": {"prompt": LONG},
}


def slow_reader(folder: Path, capability: str = "hybrid", reply: str = "Yes, of course.") -> LLM:
    (folder / "s.jsonl").write_text(
        json.dumps({"model": {"read_ms": 2, "capability": capability}}) + f"\n{json.dumps(reply)}\n"
    )
    return LLM(f"scripted:{folder / 's.jsonl'}", chunk=64)


def silent(event: dict[str, Any]) -> bool:
    """Whether it is an event that says nothing."""
    if choices := event.get("choices"):
        return not choices[0]["finish_reason"] and choices[0].get("delta", choices[0].get("text")) in ({}, "")
    if "done" in event:
        return not event["done"] and not event.get("response", event.get("message", {}).get("content"))
    if event["type"] == "content_block_delta":
        return "" in event["delta"].values()
    return bool(event["type"] == "response.in_progress")


@pytest.mark.parametrize("path", BODIES)
def test_a_long_read_is_not_silent(tmp_path: Path, path: str) -> None:
    llm = slow_reader(tmp_path)
    with server({"s": lambda: llm}, ServerConfig(keep_alive=0.1)) as base:
        reply = httpx.post(base + path, json={"model": "s", **BODIES[path], "stream": True}, timeout=60)
    assert reply.status_code == 200
    events = [json.loads(x.removeprefix("data: ")) for x in reply.text.splitlines() if x.startswith(("data: {", "{"))]
    quiet = [silent(e) for e in events]
    spoken = next(n for n, e in enumerate(events) if "Yes" in json.dumps(e))
    assert sum(quiet[:spoken]) >= 3, "the read takes over a second"
    assert not any(e.get("error") for e in events)


@pytest.mark.parametrize(
    ("capability", "reply", "kinds"),
    [
        ("hybrid", "<think>\nHm.\n</think>\n\nYes.", ["thinking", "text"]),
        ("hybrid", "Yes.", ["thinking", "text"]),
        ("instruct", "Yes.", ["text"]),
    ],
)
def test_anthropics_client_follows(tmp_path: Path, capability: str, reply: str, kinds: list[str]) -> None:
    """The block that was opened for the sign of life is the first part's, or stays empty."""
    llm = slow_reader(tmp_path, capability, reply)
    with server({"s": lambda: llm}, ServerConfig(keep_alive=0.1)) as base:
        client = anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)
        with client.messages.stream(model="s", max_tokens=99, messages=BODIES["/v1/messages"]["messages"]) as stream:
            final = stream.get_final_message()
        assert [b.type for b in final.content] == kinds
        assert final.content[-1].text == "Yes."
        back: Any = [*BODIES["/v1/messages"]["messages"], {"role": "assistant", "content": final.content}]
        again = [*back, {"role": "user", "content": "so?"}]
        assert client.messages.create(model="s", max_tokens=99, messages=again).stop_reason == "end_turn"


def types(raw: bytes) -> list[tuple[str, int]]:
    events = [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [(e["type"].removeprefix("content_block_"), e["index"]) for e in events]


def test_blocks_are_numbered_as_they_go_out() -> None:
    blocks = OpenBlocks()
    assert types(blocks.alive("text")) == [("start", 0), ("delta", 0)]
    assert types(blocks.alive("text")) == [("delta", 0)]
    assert types(blocks.open("text", EMPTY["text"])) == [], "it has its block"
    assert types(blocks.delta("text", "x")) == [("delta", 0)]
    assert types(blocks.close("")) == [("stop", 0)]
    assert types(blocks.alive("thoughts")) == [("start", 1), ("delta", 1)]
    assert types(blocks.open("call", {"type": "tool_use"})) == [("stop", 1), ("start", 2)]
    assert types(blocks.alive("text")) == [("delta", 2)]
    assert types(blocks.close("")) == [("stop", 2)]
    assert types(blocks.end()) == [] and blocks.alive("text") == b""


def test_a_block_nothing_came_into_is_closed_at_the_end() -> None:
    blocks = OpenBlocks()
    blocks.alive("thoughts")
    assert types(blocks.end()) == [("delta", 0), ("stop", 0)]
