"""Turns of the web chat at the level of HTTP: attach, leave, stop, delete, and what is stored."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server
from page_turn import fold

from ponder.agent.tools.calculator import calculator
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig
from ponder.server.web.conversations import Conversations
from ponder.server.web.turn_steps import Transcript, messages_of

WORDS = " ".join(f"thought {i * i} 思考 👋🏽" for i in range(120))


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("turns")
    lines = {
        "steady": {"text": f"<think>\n{WORDS}\n</think>\n\nAn answer. {WORDS}", "delay_ms": 1},
        "endless": {"text": f"<think>\n{WORDS}", "eos": False, "delay_ms": 3},
    }
    models = {}
    for name, line in lines.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(line))
        models[name] = partial(LLM, f"scripted:{folder / name}.jsonl")
    with (
        server(models, ServerConfig(linger=0.3), store=folder / "chat.sqlite") as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        yield http


def asked(http: httpx.Client) -> tuple[str, str]:
    id_ = http.post("/web/conversations", json={"title": "t"}).json()["id"]
    return id_, http.post(f"/web/conversations/{id_}/messages", json={"content": "hi"}).json()["id"]


def events(reply: httpx.Response) -> Iterator[dict[str, Any]]:
    return (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: "))


def folded(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a page makes of the events."""
    steps: list[dict[str, Any]] = []
    for item in items:
        fold(steps, item)
    return steps


def idle(http: httpx.Client) -> None:
    deadline = time.monotonic() + 5
    while http.get("/health").json()["in_flight"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_whoever_comes_late_sees_the_same(http: httpx.Client) -> None:
    conversation, parent = asked(http)
    seen: list[list[dict[str, Any]]] = []
    with http.stream("POST", f"/web/conversations/{conversation}/reply", json={"parent": parent}) as reply:
        first = events(reply)
        mine = [next(first)]
        id_ = mine[0]["message"]["id"]
        assert http.get(f"/web/conversations/{conversation}").json()["running"] == [id_]

        def look(after: float) -> None:
            time.sleep(after)
            with httpx.stream("GET", f"{http.base_url}/web/turns/{id_}", timeout=30) as late:
                seen.append(list(events(late)))

        threads = [threading.Thread(target=look, args=(0.1 * n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        mine += first
        for thread in threads:
            thread.join()
    stored = http.get(f"/web/conversations/{conversation}").json()["messages"][-1]
    assert len(seen) == 5
    for items in [mine, *seen]:
        assert items[-1]["type"] == "finish" and folded(items) == stored["steps"]
    assert stored["content"] == f"An answer. {WORDS}" and stored["steps"][0]["text"].strip() == WORDS
    assert http.get(f"/web/turns/{id_}").status_code == http.post(f"/web/turns/{id_}/stop").status_code == 404


def test_a_turn_with_tools_says_what_a_plain_one_says(tmp_path: Path) -> None:
    """Why the thoughts ended, what was odd about the request, how fast it was."""
    call = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "6 * 7"}}\n</tool_call>'
    replies = [f"<think>\n{WORDS}\n</think>\n\n{call}", "<think>\nSo.\n</think>\n\nIt is 42, as was to be shown."]
    (tmp_path / "act.jsonl").write_text("\n".join(json.dumps(text) for text in replies))
    models = {"act": partial(LLM, f"scripted:{tmp_path / 'act.jsonl'}")}
    with (
        server(models, ServerConfig(), store=tmp_path / "chat.sqlite", tools=[calculator]) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        conversation, parent = asked(http)
        body = {"parent": parent, "tools": True, "budget": 40, "sampling": {"temperature": 0.0}}
        with http.stream("POST", f"/web/conversations/{conversation}/reply", json=body) as reply:
            facts = [item for item in events(reply) if item["type"] == "finish"][-1]["facts"]
    assert facts["handover"] == "budget" and facts["steps"] == 2
    assert any("greedy thoughts" in text for text in facts["warnings"])
    assert facts["per_s"] > 0


def test_a_reader_that_does_not_read_holds_up_nobody(http: httpx.Client) -> None:
    conversation, parent = asked(http)
    with http.stream("POST", f"/web/conversations/{conversation}/reply", json={"parent": parent}) as reply:
        deadline = time.monotonic() + 40
        while http.get(f"/web/conversations/{conversation}").json()["running"]:
            assert time.monotonic() < deadline, "the turn waits for its reader"
            time.sleep(0.05)
        late = list(events(reply))
    assert late[-1]["type"] == "finish"


def test_leaving_stopping_and_deleting_free_the_slot(http: httpx.Client) -> None:
    for how in ("leave", "stop", "delete"):
        conversation, parent = asked(http)
        body = {"parent": parent, "model": "endless"}
        with http.stream("POST", f"/web/conversations/{conversation}/reply", json=body) as reply:
            items = events(reply)
            id_ = next(items)["message"]["id"]
            next(items)
            if how == "stop":
                assert http.post(f"/web/turns/{id_}/stop").is_success
                assert list(items)[-1]["stopped"] is True
            elif how == "delete":
                assert http.delete(f"/web/conversations/{conversation}").is_success
                assert list(items)[-1]["stopped"] is True
        idle(http)
        assert http.get(f"/web/conversations/{conversation}").status_code == (404 if how == "delete" else 200)


def test_two_replies_at_once_are_two_branches(http: httpx.Client) -> None:
    conversation, parent = asked(http)

    def reply() -> None:
        httpx.post(f"{http.base_url}/web/conversations/{conversation}/reply", json={"parent": parent}, timeout=30)

    threads = [threading.Thread(target=reply) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = http.get(f"/web/conversations/{conversation}").json()["messages"][1:]
    assert [m["parent"] for m in said] == [parent] * 4
    assert {m["content"] for m in said} == {f"An answer. {WORDS}"}


def test_wrong_requests_are_refused(http: httpx.Client) -> None:
    conversation, parent = asked(http)
    url = f"/web/conversations/{conversation}/reply"
    wrong: list[tuple[dict[str, Any], int]] = [
        ({}, 400),
        ({"parent": "nope"}, 404),
        ({"model": "nope"}, 404),
        ({"x": 1}, 400),
        ({"message": "nope"}, 404),
        ({"decisions": {"a": "perhaps"}}, 400),
        ({"sampling": {"temperature": -1}}, 400),
        ({"sampling": {"heat": 1}}, 400),
        ({"sampling": {"seed": "x"}}, 400),
        ({"budget": -1}, 400),
    ]
    for more, status in wrong:
        body = {"parent": parent} | more if more else {}
        reply = http.post(url, json=body)
        assert reply.status_code == status and reply.json()["error"]["message"], (body, reply.text)
    assert len(http.get(f"/web/conversations/{conversation}").json()["messages"]) == 1, "nothing is left behind"
    with http.stream("POST", url, json={"parent": parent, "model": "endless"}) as reply:
        items = events(reply)
        id_ = next(items)["message"]["id"]
        assert http.post(f"/web/turns/{id_}/decide", json={"call": "a", "decision": "once"}).status_code == 404
        assert http.post(f"/web/turns/{id_}/decide", json={"call": "a", "decision": "x"}).status_code == 400
        assert http.post(url, json={"parent": parent, "message": id_}).status_code == 409
    idle(http)


def test_the_server_ends_while_it_answers(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text(json.dumps({"text": f"<think>\n{WORDS}", "eos": False, "delay_ms": 3}))
    store = tmp_path / "chat.sqlite"
    with server({"e": partial(LLM, f"scripted:{tmp_path}/e.jsonl")}, store=store) as url:
        http = httpx.Client(base_url=url, timeout=30)
        conversation, parent = asked(http)
        with http.stream("POST", f"/web/conversations/{conversation}/reply", json={"parent": parent}) as reply:
            items = events(reply)
            for _ in range(50):
                next(items)
        http.close()
    kept = Conversations(store).get(conversation)["messages"][-1]
    assert kept["stopped"] and "thought 4" in kept["steps"][0]["text"]


def test_a_file_without_steps_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "chat.sqlite"
    store = Conversations(path)
    id_ = store.create("old")["id"]
    asked = store.add(id_, None, "user", {"content": "q"})["id"]
    store.add(id_, asked, "assistant", {"content": "a", "reasoning_content": "r"})
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 1")
    user, said = Conversations(path).get(id_)["messages"]
    assert "steps" not in user
    assert [(s["kind"], s["text"]) for s in said["steps"]] == [("thought", "r"), ("text", "a")]


def test_steps_become_the_messages_that_the_model_is_told() -> None:
    steps = Transcript()
    steps.write("thought", "Hm.")
    steps.write("text", "Let me see.")
    steps.call("1", "add", '{"a": 1}')
    steps.call("2", "sub", "{}")
    steps.change("1", state="done", output="long output", told="long")
    steps.change("2", state="failed", output="Error: no")
    steps.note("a limit")
    steps.write("thought", "So.")
    steps.write("text", "Done.")
    told = messages_of({"role": "assistant", **steps.body()})
    assert [m["role"] for m in told] == ["assistant", "tool", "tool", "assistant"]
    assert told[0]["reasoning_content"] == "Hm." and [c["id"] for c in told[0]["tool_calls"]] == ["1", "2"]
    assert [m["content"] for m in told] == ["Let me see.", "long", "Error: no", "Done."]
    assert steps.body()["content"] == "Let me see.\n\nDone."
    steps.call("3", "write", "{}", "waiting")
    told = messages_of({"role": "assistant", **steps.body()}, goes_on=True)
    assert told[-1]["role"] == "assistant" and told[-1]["tool_calls"][0]["id"] == "3", "open: the loop asks again"
    told = messages_of({"role": "assistant", **steps.body()})
    assert told[-1]["role"] == "tool" and "did not decide" in told[-1]["content"], "passed over"
