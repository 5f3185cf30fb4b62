"""A turn of the web chat whose MCP server changes its tools half-way: the next step has the new ones."""

import json
from functools import partial
from pathlib import Path

import httpx
import pytest
from live import server
from mcp_faulty import no_orphans
from saying import call, thought

from ponder.agent.mcp.servers import McpServers
from ponder.engine.llm import LLM


def test_tools_that_appear_during_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    wait = call("changes-storm")  # a step in between: the new list is asked for when the notification is there
    replies = [call("changes-grow"), wait, call("changes-extra_0"), "It is there."]
    script = tmp_path / "replies.jsonl"
    script.write_text("".join(json.dumps({"text": thought("Hm.") + reply}) + "\n" for reply in replies))
    with no_orphans(2) as marked:
        tools = [McpServers({"changes": marked.server("changes", tool_timeout=10)})]
        models = {"tiny": partial(LLM, f"scripted:{script}")}
        with server(models, tools=tools) as url, httpx.Client(base_url=url, timeout=30) as http:
            assert "changes-extra_0" not in [t["name"] for t in http.get("/web/models").json()["tools"]]
            id_ = http.post("/web/conversations", json={"title": "t"}).json()["id"]
            parent = http.post(f"/web/conversations/{id_}/messages", json={"content": "Go."}).json()["id"]
            asked = {"parent": parent, "tools": True}
            http.post(f"/web/conversations/{id_}/reply", json=asked).raise_for_status()
            stored = http.get(f"/web/conversations/{id_}").json()["messages"][-1]
            done = [(s["name"], s["state"]) for s in stored["steps"] if s["kind"] == "call"]
            assert done[-1] == ("changes-extra_0", "done"), stored["steps"]
            assert stored["content"] == "It is there."
