"""A turn that waits for a person holds no place and no model, takes both again after the decision, and ends in time."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import saying, server
from page_turn import PageTurn

from ponder.agent.tools.function_tool import function_tool
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig
from ponder.server.web import agent_turn

CALL = '<tool_call>\n{{"name": "touch", "arguments": {{"n": {}}}}}\n</tool_call>'
CHAT = {"model": "plain", "messages": [{"role": "user", "content": "hi"}]}
RAN: list[int] = []


def touch(n: int) -> str:
    """Touches it."""
    RAN.append(n)
    return f"touched {n}"


@contextmanager
def one_place(folder: Path, **config: Any) -> Iterator[httpx.Client]:
    """A server that answers one request at a time, and lets none wait."""
    models = saying(folder, {"plain": "Hello."})
    both = CALL.format(1) + "\n" + CALL.format(2)
    (folder / "acting.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [both, "All done."]))
    models["acting"] = partial(LLM, f"scripted:{folder / 'acting.jsonl'}")
    slow = {"text": "hm " * 20000, "delay_ms": 5}
    (folder / "slow.jsonl").write_text(json.dumps(slow) + "\n")
    models["slow"] = partial(LLM, f"scripted:{folder / 'slow.jsonl'}")
    RAN.clear()
    tools = [function_tool(touch, approval="ask")]
    with (
        server(models, ServerConfig(queue=0, **config), capacity=1, tools=tools) as base,
        httpx.Client(base_url=base, timeout=60) as http,
    ):
        yield http


class Turn:
    """A turn of the acting model, read until both of its calls wait."""

    def __init__(self, http: httpx.Client, reply: httpx.Response, conversation: str) -> None:
        self.http, self.conversation, self.page = http, conversation, PageTurn(reply)
        self.id = self.page.id
        self.calls = self.page.waiting(2)

    def decide(self, number: int, decision: str) -> httpx.Response:
        body = {"call": self.calls[number], "decision": decision}
        return self.http.post(f"/web/turns/{self.id}/decide", json=body)

    def rest(self) -> dict[str, Any]:
        """The last event."""
        return self.page.rest()

    def states(self) -> list[str]:
        return sorted(call["state"] for call in self.page.calls())


@contextmanager
def waiting(http: httpx.Client) -> Iterator[Turn]:
    id_ = http.post("/web/conversations", json={"title": "t"}).json()["id"]
    parent = http.post(f"/web/conversations/{id_}/messages", json={"content": "do it"}).json()["id"]
    body = {"parent": parent, "model": "acting", "tools": True}
    with http.stream("POST", f"/web/conversations/{id_}/reply", json=body) as reply:
        yield Turn(http, reply, id_)


def chat(http: httpx.Client) -> int:
    return http.post("/v1/chat/completions", json=CHAT).status_code


def test_others_are_answered_while_a_call_waits(tmp_path: Path) -> None:
    with one_place(tmp_path) as http, waiting(http) as turn:
        assert http.get("/health").json()["in_flight"] == 0
        assert chat(http) == 200 and not RAN
        assert turn.decide(0, "once").status_code == 200
        assert turn.decide(0, "once").status_code == 404, "decided already"
        assert chat(http) == 200 and not RAN, "the other call still waits"
        assert turn.decide(1, "deny").status_code == 200
        last = turn.rest()
        assert last["type"] == "finish" and last["facts"]["reason"] == "answered" and not last["stopped"]
        assert RAN == [1] and turn.states() == ["denied", "done"]
        assert last["facts"]["steps"] == 2, "the model's turns before and after the wait"


def test_always_is_said_once_for_all_calls_that_wait(tmp_path: Path) -> None:
    with one_place(tmp_path) as http, waiting(http) as turn:
        assert turn.decide(0, "always").status_code == 200
        assert turn.rest()["facts"]["reason"] == "answered" and RAN == [1, 2]


def test_a_decided_turn_waits_for_its_place(tmp_path: Path) -> None:
    with one_place(tmp_path) as http, waiting(http) as turn:
        slow = {"model": "slow", "messages": CHAT["messages"], "stream": True}
        with http.stream("POST", "/v1/chat/completions", json=slow) as reply:
            assert turn.decide(0, "always").status_code == 200
            lines = reply.iter_lines()
            assert all(next(lines) is not None for _ in range(20))
            assert not RAN, "another request had the only place"
        assert turn.rest()["facts"]["reason"] == "answered" and RAN == [1, 2]


def test_stopped_while_it_waits(tmp_path: Path) -> None:
    with one_place(tmp_path) as http, waiting(http) as turn:
        assert http.post(f"/web/turns/{turn.id}/stop").status_code == 200
        last = turn.rest()
        assert last["stopped"] and last["facts"]["reason"] == "cancelled" and not RAN
        assert turn.states() == ["failed", "failed"] and chat(http) == 200


def test_the_time_limit_ends_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is a minute; a minute of waiting is made short."""
    when = agent_turn._loop_time
    monkeypatch.setattr(agent_turn, "_loop_time", lambda end: when(end) - 54)
    with one_place(tmp_path, timeout=60.0) as http, waiting(http) as turn:
        last = turn.rest()
        assert last["facts"]["reason"] == "max_time" and not RAN
        stored = http.get(f"/web/conversations/{turn.conversation}").json()["messages"][-1]
        assert {s["state"] for s in stored["steps"] if s["kind"] == "call"} == {"failed"}
        assert "time limit" in stored["steps"][-1]["output"]


def test_a_page_that_was_closed_finds_the_call_waiting(tmp_path: Path) -> None:
    with one_place(tmp_path, linger=0.05) as http:
        with waiting(http) as turn:
            pass
        time.sleep(0.3)
        assert http.get("/health").json()["in_flight"] == 0 and chat(http) == 200
        with http.stream("GET", f"/web/turns/{turn.id}") as reply:
            lines = (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: "))
            steps = next(lines)["message"]["steps"]
            assert [s["state"] for s in steps if s["kind"] == "call"] == ["waiting", "waiting"]
            turn.decide(0, "always")
            assert list(lines)[-1]["facts"]["reason"] == "answered" and RAN == [1, 2]
