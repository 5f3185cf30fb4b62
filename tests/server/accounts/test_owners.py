"""SEC-6: what one API key has in the web chat, or has running, is not there for another."""

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
from live import saying, server
from page_turn import PageTurn

from ponder.agent.tools.function_tool import function_tool
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

CALL = '<tool_call>\n{"name": "touch", "arguments": {}}\n</tool_call>'
CONFIG = ServerConfig(api_keys=("alice", "bob"), admin_keys=("chief",))
RAN: list[str] = []


def touch() -> str:
    """Touches it."""
    RAN.append("touched")
    return "done"


def client(base: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s")
    models = saying(folder, {"plain": "<think>\n\n</think>\n\nHello.", "acting": CALL})
    slow = {"text": "<think>\n" + "hm " * 20000, "eos": False, "delay_ms": 5}
    (folder / "slow.jsonl").write_text(json.dumps(slow) + "\n")
    models["slow"] = partial(LLM, f"scripted:{folder / 'slow.jsonl'}")
    with server(models, CONFIG, tools=[function_tool(touch, approval="ask")]) as url:
        yield url


def begun(http: httpx.Client, title: str, text: str = "my password is hunter2") -> tuple[str, str]:
    """-> a conversation, and its first message."""
    id_ = http.post("/web/conversations", json={"title": title}).json()["id"]
    return id_, http.post(f"/web/conversations/{id_}/messages", json={"content": text}).json()["id"]


def test_a_stranger_finds_nothing_of_a_conversation(base: str) -> None:
    with client(base, "alice") as alice, client(base, "bob") as bob, client(base, "chief") as chief:
        id_, message = begun(alice, "Alice's")
        whole = alice.get(f"/web/conversations/{id_}").json()
        one = f"/web/conversations/{id_}"
        for other in (bob, chief):
            assert other.get("/web/conversations").json() == other.get("/web/conversations?q=hunter2").json() == []
            assert other.get("/web/export").json() == []
            for method, path, body in (
                ("GET", one, None), ("GET", one + "/export", None), ("PATCH", one, {"title": "x"}),
                ("POST", one + "/messages", {"content": "x"}), ("POST", one + "/reply", {"parent": message}),
                ("DELETE", one, None),
            ):  # fmt: skip
                refused = other.request(method, path, json=body)
                nowhere = other.request(method, path.replace(id_, "nowhere"), json=body)
                assert refused.status_code == nowhere.status_code == 404, (method, path, refused.text)
                assert refused.text.replace(id_, "nowhere") == nowhere.text, "nor whether there is one"
        assert alice.get(one).json() == whole and "owner" not in whole
        assert [c["id"] for c in alice.get("/web/conversations?q=hunter2").json()] == [id_]
        assert [c["id"] for c in alice.get("/web/export").json()] == [id_]
        assert bob.post("/web/import", json=alice.get("/web/export").json()).status_code == 201
        assert len(bob.get("/web/conversations").json()) == len(alice.get("/web/conversations").json()) == 1
        assert alice.delete(one).json() == {"deleted": True}


def test_a_stranger_neither_sees_nor_stops_nor_decides_a_turn(base: str) -> None:
    with client(base, "alice") as alice, client(base, "bob") as bob:
        id_, message = begun(alice, "t")
        body = {"parent": message, "model": "acting", "tools": True}
        with alice.stream("POST", f"/web/conversations/{id_}/reply", json=body) as reply:
            page = PageTurn(reply)
            turn = page.id
            word = {"call": page.waiting(1)[0], "decision": "always"}
            for method, path, said in (
                ("GET", "", None), ("POST", "/stop", None), ("POST", "/answer-now", None), ("POST", "/decide", word),
            ):  # fmt: skip
                refused = bob.request(method, f"/web/turns/{turn}{path}", json=said)
                assert refused.status_code == 404 and turn in refused.text, refused.text
            assert bob.delete(f"/web/conversations/{id_}").status_code == 404
            assert alice.get(f"/web/conversations/{id_}").json()["running"] == [turn] and not RAN
            assert alice.post(f"/web/turns/{turn}/decide", json=word).status_code == 200
            while not RAN:
                page.read()
            assert alice.post(f"/web/turns/{turn}/stop").status_code in (200, 404)  # it may be over by now


def test_a_stranger_neither_hurries_nor_cancels_a_request(base: str) -> None:
    seen: dict[str, Any] = {}

    def ask() -> None:
        body = {"model": "slow", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        with client(base, "alice") as http, http.stream("POST", "/v1/chat/completions", json=body) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    seen["last"] = json.loads(line[6:])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while "last" not in seen and time.monotonic() < deadline:
            time.sleep(0.02)
        id_ = seen["last"]["id"]
        with client(base, "bob") as bob, client(base, "alice") as alice:
            for word in ("answer-now", "cancel"):
                refused = bob.post(f"/v1/requests/{id_}/{word}")
                assert refused.status_code == 404 and refused.json()["error"]["code"] == "request_not_found"
            assert thread.is_alive()
            assert alice.post(f"/v1/requests/{id_}/cancel").status_code == 200
    finally:
        thread.join(30)
    assert not thread.is_alive()


def test_a_name_keeps_what_its_old_key_has_left_and_heirs_get_what_nobody_owns(tmp_path: Path) -> None:
    models, store = saying(tmp_path, {"plain": "Hello."}), tmp_path / "chat.sqlite"
    with server(models, store=store) as url, httpx.Client(base_url=url) as http:
        before, _ = begun(http, "before there were keys")
    file = sqlite3.connect(store)
    file.executescript("ALTER TABLE conversations DROP COLUMN owner; PRAGMA user_version = 2;")  # as version 2 has it
    file.close()
    old = ServerConfig(api_keys=("old", "bob"), admin_keys=("chief",), key_names={"old": "alice"})
    with server(models, old, store=store) as url:
        with client(url, "old") as http:
            mine, _ = begun(http, "mine")
        for key, ids in (("old", [mine]), ("bob", []), ("chief", [before])):
            with client(url, key) as http:
                assert [c["id"] for c in http.get("/web/conversations").json()] == ids, key
    new = ServerConfig(api_keys=("new",), key_names={"new": "alice"})
    with server(models, new, store=store) as url, client(url, "new") as http:  # the only key there is
        assert {c["id"] for c in http.get("/web/conversations").json()} == {mine, before}
