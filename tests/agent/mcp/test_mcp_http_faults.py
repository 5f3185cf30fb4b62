"""MCP-1 over HTTP: a server that hangs, dies, drips, sends garbage or too much; calls end in time, closing too."""

import asyncio
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp_faulty import context

from ponder.agent.mcp.servers import McpServers

EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
TEN_MB = {"result": {"content": [{"type": "text", "text": "x" * 10_000_000}]}}


class Faulty:
    """A server of 2025-06-18 that behaves until a call comes, or (with `at_once`) not even until then."""

    def __init__(self, fault: str, at_once: bool) -> None:
        self.fault, self.at_once = fault, at_once

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                method, body = await self.request(reader)
                if self.at_once or body.get("method") == "tools/call":
                    await self.misbehave(writer, body)
                elif method == "DELETE" and self.fault == "hangs":
                    await asyncio.sleep(100)
                else:
                    self.behave(writer, method, body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        except asyncio.CancelledError:
            return

    async def request(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        size = sum(int(line.split(":")[1]) for line in head if line.startswith("content-length:"))
        raw = await reader.readexactly(size)
        return head[0].split(" ")[0].upper(), json.loads(raw) if raw else {}

    def behave(self, writer: asyncio.StreamWriter, method: str, body: dict[str, Any]) -> None:
        about = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "x", "version": "1"},
        }
        if method != "POST" or "id" not in body:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n" if method == "POST" else
                         b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n")  # fmt: skip
        elif body["method"] == "initialize":
            writer.write(reply(body, {"result": about}, b"mcp-session-id: abc\r\n"))
        elif body["method"] == "tools/list":
            writer.write(reply(body, {"result": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}}))
        else:
            writer.write(reply(body, {"error": {"code": -32601, "message": "no"}}))

    async def misbehave(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        match self.fault:
            case "hangs":
                await asyncio.sleep(100)
            case "dies":
                writer.write(EVENTS + b'data: {"json')
                await writer.drain()
                raise ConnectionError
            case "garbage":
                writer.write(os.urandom(2000))
                await writer.drain()
                raise ConnectionError
            case "html":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello")
            case "drips":
                writer.write(EVENTS)
                while True:
                    writer.write(b": x\n\n")
                    await writer.drain()
                    await asyncio.sleep(0.1)
            case "endless":
                writer.write(ENDLESS)
                while True:
                    writer.write(b" " * 65536)
                    await writer.drain()
            case "10 MB":
                writer.write(reply(body, TEN_MB))
            case "10 MB event":
                answer = json.dumps({"jsonrpc": "2.0", "id": body["id"], **TEN_MB}).encode()
                writer.write(EVENTS + b"event: message\ndata: " + answer + b"\n\n")
                await writer.drain()
                raise ConnectionError


def reply(body: dict[str, Any], answer: dict[str, Any], headers: bytes = b"") -> bytes:
    data = json.dumps({"jsonrpc": "2.0", "id": body["id"], **answer}).encode()
    length = b"content-length: %d\r\n\r\n" % len(data)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + headers + length + data


def against(fault: str, at_once: bool, test: Callable[[McpServers], Awaitable[None]]) -> None:
    async def run() -> None:
        server = await asyncio.start_server(Faulty(fault, at_once).serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/mcp"
        servers = McpServers({"h": {"url": url, "type": "http", "connect_timeout": 1, "tool_timeout": 1}})
        await servers.open()
        try:
            await test(servers)
        finally:
            start = time.monotonic()
            await servers.close()
            assert time.monotonic() - start < 2
            server.close()

    asyncio.run(run())


@pytest.fixture(autouse=True)
def own_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("fault", ["hangs", "dies", "garbage", "html", "drips", "endless"])
def test_a_call_ends_in_time_and_says_what_was_wrong(fault: str, tmp_path: Path) -> None:
    async def test(servers: McpServers) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        out = await servers.tools()[0].call({}, context(tmp_path))
        assert time.monotonic() - start < 2
        assert out.error
        assert out.text.startswith("Error:")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10  # kB

    against(fault, False, test)


@pytest.mark.parametrize("fault", ["10 MB", "10 MB event"])
def test_ten_megabytes_are_cut(fault: str, tmp_path: Path) -> None:
    async def test(servers: McpServers) -> None:
        out = await servers.tools()[0].call({}, context(tmp_path))
        assert not out.error
        assert len(out.text) < 50_100
        assert "characters left out" in out.text

    against(fault, False, test)


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("fault", ["hangs", "dies", "garbage", "html", "drips", "endless"])
def test_a_server_that_never_gets_that_far_is_reported(fault: str) -> None:
    async def test(servers: McpServers) -> None:
        assert servers.tools() == []
        [warning] = servers.warnings()
        assert warning.startswith("MCP server 'h': ")

    start = time.monotonic()
    against(fault, True, test)
    assert time.monotonic() - start < 5


FORMS = {
    "no body": b"content-length: 0\r\n\r\n",
    "a page": b"content-type: text/html\r\ncontent-length: 9\r\n\r\nnot found",
    "an error": b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    "an error of the protocol": None,
}


class Forgetful(Faulty):
    """Knows no session at the first call; then a new one is opened, which it knows."""

    def __init__(self, status: str, form: str, times: int) -> None:
        super().__init__("", False)
        self.status, self.form, self.times = status, form, times
        self.done = self.sessions = 0

    def behave(self, writer: asyncio.StreamWriter, method: str, body: dict[str, Any]) -> None:
        self.sessions += body.get("method") == "initialize"
        super().behave(writer, method, body)

    async def misbehave(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        if self.times:
            self.times -= 1
            unknown = json.dumps(
                {"jsonrpc": "2.0", "id": None, "error": {"code": -32001, "message": "Session not found"}}
            )
            json_form = f"content-type: application/json\r\ncontent-length: {len(unknown)}\r\n\r\n{unknown}".encode()
            writer.write(f"HTTP/1.1 {self.status} x\r\n".encode() + (FORMS[self.form] or json_form))
        else:
            self.done += 1
            writer.write(reply(body, {"result": {"content": [{"type": "text", "text": "done"}]}}))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", ["404", "400"])
def test_a_forgotten_session_costs_nothing(status: str, form: str, tmp_path: Path) -> None:
    async def run() -> None:
        forgetful = Forgetful(status, form, times=1)
        server = await asyncio.start_server(forgetful.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        servers = McpServers({"h": {"url": url, "type": "http", "connect_timeout": 20, "tool_timeout": 20}})
        await servers.open()
        try:
            out = await servers.tools()[0].call({}, context(tmp_path))
            assert (out.text, out.error) == ("done", False)
            assert forgetful.done == 1 and forgetful.sessions == 2
            assert servers.warnings() == []
            again = await servers.tools()[0].call({}, context(tmp_path))
            assert again.text == "done" and forgetful.sessions == 2
            forgetful.times = 2  # and again in the new session: it is repeated once
            out = await servers.tools()[0].call({}, context(tmp_path))
            assert out.error and forgetful.done == 2
        finally:
            await servers.close()
            server.close()

    asyncio.run(run())
