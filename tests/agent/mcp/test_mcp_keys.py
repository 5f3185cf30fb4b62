"""A server that wants a key: `headers` with a variable, against the real /mcp of `ponder serve`. No log has it."""

import asyncio
import logging
from functools import partial
from pathlib import Path

import pytest
from live import server

from ponder.agent.mcp.servers import McpServers
from ponder.agent.tools.tool import ToolContext
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig


@pytest.mark.parametrize("kind", ["http", "sse", None])
def test_a_bearer_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCS_KEY", "sesame-4711")
    monkeypatch.setenv("OLD_KEY", "outdated-4712")
    (tmp_path / "s.jsonl").write_text('{"text": "Four."}')

    async def run(url: str) -> None:
        def entry(key: str) -> dict[str, object]:
            headers = {"Authorization": f"Bearer ${{{key}}}"}
            kinds = {"type": kind} if kind else {}
            return {"url": f"{url}/mcp", "headers": headers, "approval": "auto", "connect_timeout": 10, **kinds}

        servers = McpServers({"mcpServers": {"docs": entry("DOCS_KEY"), "old": entry("OLD_KEY")}})
        async with servers:
            told = "\n".join(servers.warnings())
            assert "'old'" in told and "4711" not in told and "4712" not in told
            if kind != "sse":  # which this server does not speak
                (chat,) = (tool for tool in servers.tools() if tool.name == "docs-chat")
                assert (await chat.call({"prompt": "2 + 2?"}, ToolContext("c", tmp_path))).text == "Four."

    config = ServerConfig(api_keys=("sesame-4711",))
    with server({"tiny": partial(LLM, f"scripted:{tmp_path / 's.jsonl'}")}, config) as url:
        asyncio.run(run(url))
    written = "".join(f.read_text() for f in (tmp_path / "home").rglob("*") if f.is_file())
    assert "4711" not in caplog.text + written and "4712" not in caplog.text + written
    assert caplog.records
