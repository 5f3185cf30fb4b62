"""/mcp of `ponder serve` and the official SDK's client: tools, the guard, calls given up, an end that waits not."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from listening import free_port, until_up
from live import server
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig
from ponder.server.mcp import run

ENDLESS = {"text": "<think>\n" + " ".join(map(str, range(3000))), "eos": False, "answer": "Enough.", "delay_ms": 4}


@asynccontextmanager
async def client(url: str, key: str, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as opened,
    ):
        yield opened


def script(folder: Path, *replies: dict[str, object]) -> str:
    file = folder / "replies.jsonl"
    file.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    return f"scripted:{file}"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_beside_the_api(tmp_path: Path, mode: str) -> None:
    """The same model, key and queue as the rest; a call that is given up frees its slot."""

    async def use(url: str) -> None:
        async with client(url, "sesame", mode) as opened:
            tools = [tool.name for tool in (await opened.list_tools()).tools]
            assert tools == ["chat", "think", "list_models"]
            for _ in range(4):
                with pytest.raises((MCPError, TimeoutError)):
                    await opened.call_tool("think", {"prompt": "x", "budget": 100_000}, 0.3)
            out = await opened.call_tool("think", {"prompt": "x", "budget": 5}, 20)
            assert out.content[0].text == "Enough."

    model = script(tmp_path, ENDLESS)
    config = ServerConfig(api_keys=("sesame",))
    with server({"tiny": partial(LLM, model)}, config, capacity=2) as url:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        key = {"Authorization": "Bearer sesame", "Accept": "application/json, text/event-stream"}
        assert httpx.post(f"{url}/mcp", json=ping).status_code == 401
        assert httpx.post(f"{url}/mcp", json=ping, headers={**key, "Host": "evil.example"}).status_code == 403
        assert httpx.post(f"{url}/mcp", json=ping, headers={**key, "Origin": "http://evil.example"}).status_code == 403
        asyncio.run(asyncio.wait_for(use(url), 60))
        assert httpx.get(f"{url}/health", headers=key).json()["in_flight"] == 0


def test_a_start_that_fails_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK may refuse what it is given, or lack a package: nobody waits for a start that will not come."""
    faults: list[Exception] = [RuntimeError("no"), ModuleNotFoundError("no", name="mcp")]

    def http_app(*given: Any) -> Any:
        if faults:
            raise faults.pop(0)
        return real(*given)

    real = run.http_app
    monkeypatch.setattr(run, "http_app", http_app)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"Accept": "application/json, text/event-stream"}
    with server({"tiny": partial(LLM, script(tmp_path, {"text": "Four."}))}) as url:
        replies = [httpx.post(f"{url}/mcp", json=ping, headers=headers, timeout=10) for _ in range(3)]
    assert [reply.status_code for reply in replies[:2]] == [500, 501]
    assert "pip install" in replies[1].json()["error"]["message"]
    assert replies[2].status_code < 500


def test_an_open_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    env = {**os.environ, "PONDER_HOME": str(tmp_path)}
    port = free_port()
    command = [sys.executable, "-m", "ponder", "serve", script(tmp_path, {"text": "Four."}), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"

    async def use() -> float:
        async with client(url, "none", "legacy") as opened:
            out = await opened.call_tool("chat", {"prompt": "2 + 2?"})
            assert out.content[0].text == "Four."
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 20)
            return time.monotonic() - began

    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        until_up(f"{url}/health", process)
        assert asyncio.run(use()) < 10
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
