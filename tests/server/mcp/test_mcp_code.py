"""`run_code` of `ponder mcp`: what comes back, sessions that do not meet, limits, and nothing left behind."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, MCPError

from ponder.core.errors import UserError
from ponder.sandbox.isolation import find
from ponder.server.config import ServerConfig
from ponder.server.mcp.code import offering_code
from ponder.server.mcp.server import build_mcp
from ponder.server.runtime.admission import Admission
from ponder.server.runtime.pool import Pool
from ponder.server.runtime.service import Service


def isolated() -> bool:
    try:
        find()
    except UserError:
        return False
    return True


needs_isolation = pytest.mark.skipif(not isolated(), reason="nothing isolates code here")


@asynccontextmanager
async def offered(told: list[str], unsafe: bool = False) -> AsyncIterator[Client]:
    def no_model() -> None:
        raise UserError("no model here")

    config = ServerConfig()
    server = build_mcp(Service(config, Pool({"none": no_model}), Admission(config, 4)))  # type: ignore[dict-item]
    async with offering_code(server, unsafe_host_exec=unsafe, tell=told.append), Client(server) as client:
        yield client


@needs_isolation
def test_code_runs_and_its_session_goes_on() -> None:
    async def run() -> None:
        async with offered([]) as client:
            assert "run_code" in [t.name for t in (await client.list_tools()).tools]
            out = await client.call_tool("run_code", {"code": "x = 6\nopen('n.txt', 'w').write('hi')\nx * 7"})
            assert not out.is_error
            assert "42" in out.content[0].text
            assert "n.txt" in " ".join(out.structured_content["files"])
            session = out.structured_content["session"]
            out = await client.call_tool("run_code", {"code": "print(x, open('n.txt').read())", "session": session})
            assert "6 hi" in out.content[0].text
            out = await client.call_tool("run_code", {"code": "x"})
            assert out.is_error
            assert "NameError" in out.content[0].text
            out = await client.call_tool("run_code", {"code": "1", "session": "main"})
            assert out.is_error
            assert "there is no session 'main'" in out.content[0].text
            out = await client.call_tool(
                "run_code", {"code": "import socket; socket.create_connection(('1.1.1.1', 80), 3)"}
            )
            assert out.is_error

    asyncio.run(run())


@pytest.mark.flaky(reruns=2)  # judges time
@needs_isolation
def test_a_call_that_its_client_gives_up_is_stopped() -> None:
    async def run() -> None:
        async with offered([]) as client:
            session = (await client.call_tool("run_code", {"code": "y = 1"})).structured_content["session"]
            start = time.monotonic()
            with pytest.raises((MCPError, TimeoutError)):
                await client.call_tool("run_code", {"code": "while True: pass", "session": session}, 1)
            out = await client.call_tool("run_code", {"code": "2 + 2", "session": session})
            assert "4" in out.content[0].text
            assert time.monotonic() - start < 15

    asyncio.run(run())


def test_where_nothing_isolates_it_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*, unsafe_host_exec: bool = False) -> None:
        raise UserError("Nothing here can isolate code.")

    monkeypatch.setattr("ponder.agent.tools.code_interpreter.find", nothing)

    async def run() -> None:
        told: list[str] = []
        async with offered(told) as client:
            assert "run_code" not in [t.name for t in (await client.list_tools()).tools]
        assert told == ["run_code is not offered: Nothing here can isolate code."]

    asyncio.run(run())


def test_without_a_sandbox_only_when_said_and_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def run() -> None:
        told: list[str] = []
        async with offered(told, unsafe=True) as client:
            out = await client.call_tool("run_code", {"code": "1 + 1"})
            assert "2" in out.content[0].text
            assert "WITHOUT a sandbox" in told[0]

    asyncio.run(run())
    assert not list(tmp_path.glob("ponder-mcp-*"))
