"""Two users of one server: every way of one to what the other has, and none leads there."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server
from page_turn import PageTurn

from ponder.agent.tools.function_tool import function_tool
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

CALL = '<tool_call>\n{"name": "touch", "arguments": {}}\n</tool_call>'
SECRET = "hunter2"
RAN: list[str] = []


def touch() -> str:
    """Touches it."""
    RAN.append("touched")
    return "done"


def client(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("two")
    scripts = {"acting": [CALL], "plain": ["Hello."] * 20}
    for name, lines in scripts.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    models = {name: partial(LLM, f"scripted:{folder / name}.jsonl") for name in scripts}
    config = ServerConfig(api_keys=("alice", "bob"), admin_keys=("chief",))
    tools = [function_tool(touch, approval="ask")]
    with server(models, config, store=folder / "chat.sqlite", tools=tools) as url:
        yield url, folder


def test_forty_attempts_reach_nothing(site: tuple[str, Path]) -> None:
    url, folder = site
    with client(url, "alice") as alice, client(url, "bob") as bob:
        file = {"name": "secret.txt", "text": SECRET, "tokens": 3}
        one = f"/web/conversations/{alice.post('/web/conversations', json={'title': SECRET}).json()['id']}"
        message = {"content": f"my password is {SECRET}", "attachments": [file]}
        asked = alice.post(one + "/messages", json=message).json()["id"]
        stored = alice.post("/v1/responses", json={"model": "plain", "input": SECRET, "store": True}).json()["id"]
        body = {"parent": asked, "model": "acting", "tools": True, "background": True}
        with alice.stream("POST", one + "/reply", json=body) as reply:
            page = PageTurn(reply)
            turn, [call] = page.id, page.waiting(1)
            whole = alice.get(one).json()

            own = bob.post("/web/conversations", json={"title": "own"}).json()["id"]
            word = {"call": call, "decision": "always"}
            version = {"texts": {"0": "x"}, "until": 1}
            attempts: list[tuple[str, str, Any]] = [
                ("GET", one, None), ("PATCH", one, {"title": "x"}), ("PATCH", one, {"leaf": asked}),
                ("PATCH", one, {"pinned": True}), ("PATCH", one, {"tags": ["x"]}), ("PATCH", one, {"settings": {}}),
                ("DELETE", one, None), ("GET", one + "/export", None), ("GET", one + "/export?format=md", None),
                ("GET", one + "/export?format=html", None), ("POST", one + "/messages", {"content": "x"}),
                ("POST", one + "/messages", {"content": "x", "parent": asked}),
                ("DELETE", f"{one}/messages/{asked}", None), ("DELETE", f"{one}/messages/{turn}", None),
                ("POST", f"{one}/messages/{turn}/version", version), ("POST", one + "/reply", {"parent": asked}),
                ("POST", one + "/reply", {"parent": asked, "message": turn, "decisions": {call: "once"}}),
                ("POST", one + "/reply", {"parent": asked, "message": turn, "go_on": True}),
                ("GET", f"/web/turns/{turn}", None), ("POST", f"/web/turns/{turn}/stop", None),
                ("POST", f"/web/turns/{turn}/answer-now", None), ("POST", f"/web/turns/{turn}/decide", word),
                # through a conversation of one's own
                ("POST", f"/web/conversations/{own}/reply", {"parent": asked}),
                ("POST", f"/web/conversations/{own}/reply", {"parent": asked, "message": turn, "go_on": True}),
                ("POST", f"/web/conversations/{own}/messages", {"content": "x", "parent": asked}),
                ("POST", f"/web/conversations/{own}/messages/{turn}/version", version),
                ("DELETE", f"/web/conversations/{own}/messages/{asked}", None),
                ("PATCH", f"/web/conversations/{own}", {"leaf": asked}),
                # replies that are stored, requests that run
                ("GET", f"/v1/responses/{stored}", None), ("DELETE", f"/v1/responses/{stored}", None),
                ("GET", f"/v1/responses/{stored}/input_items", None), ("POST", f"/v1/responses/{stored}/cancel", None),
                ("POST", "/v1/responses", {"model": "plain", "input": "go on", "previous_response_id": stored}),
                ("POST", f"/v1/requests/{turn}/cancel", None), ("POST", f"/v1/requests/{turn}/answer-now", None),
                # files, and names that lead out of a folder
                ("GET", f"/web/static/../../../../{folder.name}/chat.sqlite", None),
                ("GET", f"/web/static/%2e%2e/%2e%2e/{folder.name}/chat.sqlite", None),
                ("GET", "/web/static//etc/passwd", None), ("GET", f"/workspaces/{whole['id']}", None),
                # what only an administrator may
                ("POST", "/web/models/pull", {"model": "qwen3:0.6b"}), ("DELETE", "/api/delete", {"model": "plain"}),
            ]  # fmt: skip
            assert len(attempts) >= 40
            for method, path, json_ in attempts:
                refused = bob.request(method, path, json=json_)
                assert 400 <= refused.status_code < 500, (method, path, refused.status_code)
                assert SECRET not in refused.text, (method, path, refused.text)
            for path in ("/web/conversations", f"/web/conversations?q={SECRET}", "/web/export", "/v1/models"):
                found = bob.get(path)
                assert found.status_code == 200 and SECRET not in found.text and whole["id"] not in found.text, path
            assert alice.get(one).json() == whole and not RAN, "nothing of it was changed, and no call was made"
            assert alice.get(f"/v1/responses/{stored}").status_code == 200
            alice.post(f"/web/turns/{turn}/stop")
