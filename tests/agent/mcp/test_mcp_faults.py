"""MCP-1, MCP-2, MCP-3: whatever a server does, calls return in time, the others go on, and no process stays."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from mcp_faulty import MARK, Marked, context, no_orphans

from ponder.agent.mcp.servers import McpServers
from ponder.agent.tools.tool import Output, ToolContext
from ponder.core.errors import UserError


@pytest.fixture(autouse=True)
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pins of our own; and servers that do not end by themselves get less time to, where that is not the question."""
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ponder.agent.mcp.process.STDIN_GRACE", 0.2)
    monkeypatch.setattr("ponder.agent.mcp.process.TERM_GRACE", 0.3)


async def call(servers: McpServers, name: str, where: ToolContext, **arguments: object) -> Output:
    tool = next(t for t in servers.tools() if t.name == name)
    return await tool.call(arguments, where)


def beside_a_good_one(tmp_path: Path, fault: str, tool: str, limit: float, **more: object) -> tuple[Output, list[str]]:
    """One call to a faulty server, and one to a good server while that is under way and one after it."""

    async def run(marked: Marked) -> tuple[Output, list[str]]:
        config = {"bad": marked.server(fault, **more), "good": marked.server("good")}
        async with McpServers(config) as servers:
            start = time.monotonic()
            bad = asyncio.create_task(call(servers, f"bad-{tool}", context(tmp_path)))
            await asyncio.sleep(0.1)
            good = await call(servers, "good-echo", context(tmp_path), words="meanwhile")
            assert good.text == "meanwhile"
            assert time.monotonic() - start < 2
            out = await bad
            assert time.monotonic() - start < limit
            good = await call(servers, "good-echo", context(tmp_path), words="afterwards")
            assert good.text == "afterwards"
            return out, list(servers.warnings())

    with no_orphans() as marked:
        return asyncio.run(run(marked))


def test_a_server_that_dies_of_a_call_says_so_and_comes_back(tmp_path: Path) -> None:
    async def run(marked: Marked) -> None:
        async with McpServers({"bad": marked.server("dies_in_call", tool_timeout=5)}) as servers:
            for _ in range(2):  # the second time it has been started again
                out = await call(servers, "bad-die", context(tmp_path))
                assert out.error
                assert out.text.startswith("Error:")
                assert "went away" in out.text
                assert "out of cheese" in out.text

    with no_orphans() as marked:
        asyncio.run(run(marked))


@pytest.mark.parametrize("tool", ["binary", "half", "wrong_id"])
def test_garbage_instead_of_an_answer_is_a_timeout(tmp_path: Path, tool: str) -> None:
    out, _ = beside_a_good_one(tmp_path, "garbage", tool, 4)
    assert out.error
    assert "did not answer within 1 seconds" in out.text


@pytest.mark.parametrize("tool", ["wrong_shape", "no_content", "null_result"])
def test_an_answer_of_the_wrong_shape_is_an_error(tmp_path: Path, tool: str) -> None:
    out, _ = beside_a_good_one(tmp_path, "garbage", tool, 4)
    assert out.error
    assert out.text.startswith("Error:")


def test_noise_before_an_answer_does_no_harm(tmp_path: Path) -> None:
    assert beside_a_good_one(tmp_path, "garbage", "nul", 2)[0] == Output("after the noise")
    assert beside_a_good_one(tmp_path, "garbage", "twice", 2)[0] == Output("first")
    assert beside_a_good_one(tmp_path, "logs_on_stdout", "work", 2)[0] == Output("fine")


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("tool", ["lines", "endless", "valid"])
def test_a_flood_is_held_back_or_cut_off(tmp_path: Path, tool: str) -> None:
    before, held = psutil.Process().cpu_times(), psutil.Process().memory_info().rss
    out, _ = beside_a_good_one(tmp_path, "floods", tool, 4)
    after = psutil.Process().cpu_times()
    assert out.error
    assert ("a line of more than 64 MB" if tool == "endless" else "did not answer within 1 seconds") in out.text
    assert after.user - before.user < 3  # seconds of flood, and not all of them spent on it
    assert psutil.Process().memory_info().rss - held < 1 << 30


def test_ten_megabytes_are_cut_with_head_and_tail(tmp_path: Path) -> None:
    out, _ = beside_a_good_one(tmp_path, "big_result", "big", 4, tool_timeout=5)
    assert not out.error
    assert out.text.startswith("HEADxxx")
    assert out.text.endswith("xxxTAIL")
    assert len(out.text) < 50_100
    assert "9,950,008 of 10,000,008 characters left out" in out.text


@pytest.mark.parametrize("tool", ["drip", "progress"])
def test_a_drip_ends_with_the_time_limit(tmp_path: Path, tool: str) -> None:
    out, _ = beside_a_good_one(tmp_path, "slow_drip", tool, 4)
    assert "did not answer within 1 seconds" in out.text


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_server_that_does_not_read_cannot_block_us(tmp_path: Path) -> None:
    async def run(marked: Marked) -> None:
        async with McpServers({"bad": marked.server("deaf")}) as servers:
            start = time.monotonic()
            calls = [call(servers, "bad-work", context(tmp_path), words="x" * 300_000) for _ in range(3)]
            outs = await asyncio.gather(*calls)
            assert all(out.error for out in outs)
            assert time.monotonic() - start < 2

    with no_orphans() as marked:
        asyncio.run(run(marked))


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_server_that_never_initializes_is_skipped_by_name(tmp_path: Path) -> None:
    async def run(marked: Marked) -> None:
        start = time.monotonic()
        config = {"mute": marked.server("never_initializes", connect_timeout=1), "good": marked.server("good")}
        async with McpServers(config) as servers:
            assert time.monotonic() - start < 6
            assert [t.name for t in servers.tools()] == ["good-echo"]
            [warning] = servers.warnings()
            assert "'mute'" in warning
            assert "within 1 seconds" in warning
            assert "thinking about it" in warning
            assert (await call(servers, "good-echo", context(tmp_path), words="hi")).text == "hi"

    with no_orphans() as marked:
        asyncio.run(run(marked))


def test_a_server_that_cannot_start_is_named_with_its_stderr() -> None:
    async def run(marked: Marked) -> list[str]:
        config = {
            "crash": marked.server("crash_loop", "now"),
            "missing": {"command": "no-such-command-here"},
            "nowhere": {"url": "http://127.0.0.1:9/mcp", "connect_timeout": 5},
        }
        async with McpServers(config) as servers:
            assert servers.tools() == []
            return sorted(servers.warnings())

    with no_orphans() as marked:
        crash, missing, nowhere = asyncio.run(run(marked))
    assert "'crash'" in crash
    assert "no license found" in crash
    assert "code 1" in crash
    assert "no command 'no-such-command-here' on the PATH" in missing
    assert "'nowhere'" in nowhere


def test_a_required_server_that_cannot_start_stops_everything() -> None:
    async def run(marked: Marked) -> None:
        config = {"crash": marked.server("crash_loop", "now", required=True), "good": marked.server("good")}
        servers = McpServers(config)
        with pytest.raises(UserError, match=r"(?s)'crash'.*no license found"):
            await servers.open()
        assert marked.processes() == []
        await servers.close()

    with no_orphans() as marked:
        asyncio.run(run(marked))


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_crash_loop_is_given_up_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponder.agent.mcp.connection.DELAYS", (0.1, 0.1))

    async def run(marked: Marked) -> None:
        async with McpServers({"bad": marked.server("crash_loop")}) as servers:
            tool = servers.tools()[0]
            deadline = time.monotonic() + 10
            while servers.tools():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            [warning] = servers.warnings()
            assert "after 3 attempts" in warning
            before = time.process_time()
            out = await tool.call({}, context(tmp_path))
            assert out.error
            assert "not available" in out.text
            await asyncio.sleep(0.5)
            assert time.process_time() - before < 0.1

    with no_orphans() as marked:
        asyncio.run(run(marked))


def test_a_server_that_was_gone_for_long_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponder.agent.mcp.connection.DELAYS", (0.1,))
    monkeypatch.setattr("ponder.agent.mcp.connection.REST", 0.3)
    broken = tmp_path / "broken"

    async def until(done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    async def run(marked: Marked) -> None:
        async with McpServers({"a": marked.server("dies_in_call", str(broken))}) as servers:
            broken.touch()
            await call(servers, "a-die", context(tmp_path))
            await until(lambda: not servers.tools())
            assert "a" in servers.down()
            broken.unlink()
            await until(lambda: bool(servers.tools()))
            assert servers.down() == {}
            assert not servers.warnings()

    with no_orphans() as marked:
        asyncio.run(run(marked))


@pytest.mark.flaky(reruns=2)  # judges time
def test_waiting_for_a_dead_or_a_silent_server_spins_nothing(tmp_path: Path) -> None:
    async def run(marked: Marked) -> None:
        async with McpServers({"a": marked.server("dies_in_call"), "b": marked.server("good")}) as servers:
            await call(servers, "a-die", context(tmp_path))
            before = time.process_time()
            await asyncio.sleep(1)
            assert time.process_time() - before < 0.2
            assert sum(p.cpu_percent(0.3) for p in marked.processes()) < 20

    with no_orphans() as marked:
        asyncio.run(run(marked))


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_tree_that_ignores_sigterm_is_ended_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the grandchild that left the session of its server; with the patience that users have."""
    monkeypatch.undo()
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))

    async def run(marked: Marked) -> None:
        servers = McpServers({"bad": marked.server("ignores_term")})
        await servers.open()
        assert (await call(servers, "bad-work", context(tmp_path))).text == "fine"
        assert len(marked.processes()) >= 4  # the warden, the server, its child, the daemon
        start = time.monotonic()
        await servers.close()
        assert time.monotonic() - start < 5
        await servers.close()

    with no_orphans() as marked:
        asyncio.run(run(marked))


@pytest.mark.parametrize("order", ["first opened", "last opened"])
def test_sets_of_servers_close_in_any_order(tmp_path: Path, order: str) -> None:
    async def run(marked: Marked) -> None:
        one, two = McpServers({"a": marked.server("good")}), McpServers({"b": marked.server("good")})
        await one.open()
        await two.open()
        first, second = (one, two) if order == "first opened" else (two, one)
        await first.close()
        assert (await call(second, second.tools()[0].name, context(tmp_path), words="still here")).text == "still here"
        await second.close()

    with no_orphans() as marked:
        asyncio.run(run(marked))


def test_a_cancelled_call_tells_the_server(tmp_path: Path) -> None:
    async def run(marked: Marked) -> None:
        async with McpServers({"bad": marked.server("never_answers", tool_timeout=30)}) as servers:
            task = asyncio.create_task(call(servers, "bad-wait", context(tmp_path)))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            out = await call(servers, "bad-cancelled", context(tmp_path))
            assert out.text == "1 call cancelled"

    with no_orphans() as marked:
        asyncio.run(run(marked))


def test_opening_that_is_cancelled_leaves_nothing() -> None:
    async def run(marked: Marked) -> None:
        config = {"mute": marked.server("never_initializes"), "stubborn": marked.server("ignores_term")}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await McpServers(config).open()
        assert marked.processes() == []

    with no_orphans() as marked:
        asyncio.run(run(marked))


OWNER = """
import asyncio, os, sys
from ponder.agent.mcp import process as mcp_process
from ponder.agent.mcp.servers import McpServers

mcp_process.STDIN_GRACE = mcp_process.TERM_GRACE = 0.3

async def main():
    fault, mark, how = sys.argv[1:]
    env = {"PONDER_TEST_MARK": mark}
    config = {"bad": {"command": sys.executable, "args": [fault], "env": env}}
    async with McpServers(config) as servers:
        print("ready", flush=True)
        if how == "exception":
            raise RuntimeError("on purpose")
        if how == "forget":
            os._exit(0)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL", "exception", "forget"])
def test_whatever_ends_the_owner_ends_the_servers(how: str, tmp_path: Path) -> None:
    """With the worst server there is."""
    with no_orphans(5) as marked:
        fault = Path(__file__).parents[1] / "mcp_faults" / "ignores_term.py"
        env = {**os.environ, "PONDER_HOME": str(tmp_path)}
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(fault), marked.mark, how], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=env,
        )  # fmt: skip
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        if how.startswith("SIG"):
            deadline = time.monotonic() + 30  # the server answers before its own children run
            while len(marked.processes()) < 4:
                assert time.monotonic() < deadline, marked.processes()
                time.sleep(0.05)
            owner.send_signal(getattr(signal, how))
        owner.wait(10)
        owner.stdout.close()
        assert owner.returncode != 0 or how == "forget"


def test_a_killed_supervisor_takes_the_server_with_it(tmp_path: Path) -> None:
    async def run(marked: Marked) -> None:
        async with McpServers({"good": marked.server("good", tool_timeout=5)}) as servers:
            supervisor = next(p for p in marked.processes() if "sandbox/supervisor.py" in " ".join(p.cmdline()))
            supervisor.kill()
            out = await call(servers, "good-echo", context(tmp_path), words="x")
            assert out.text == "x" or out.error  # started again in time, or said to be gone
            await asyncio.sleep(1)
            assert (await call(servers, "good-echo", context(tmp_path), words="again")).text == "again"

    with no_orphans() as marked:
        asyncio.run(run(marked))


def test_the_environment_of_a_server_is_an_allow_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET_KEY", "s3cret")
    monkeypatch.setenv("MY_OTHER", "passed")
    monkeypatch.setenv("SSL_CERT_FILE", "/some/where.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")

    async def run(marked: Marked) -> dict[str, str]:
        config = {"env": marked.server("shows_env", inherit_env=["MY_OTHER"])}
        async with McpServers(config) as servers:
            structured = (await call(servers, "env-show", context(tmp_path))).structured
            assert isinstance(structured, dict)
            return structured

    with no_orphans() as marked:
        seen = asyncio.run(run(marked))
    assert "MY_SECRET_KEY" not in seen
    assert seen["MY_OTHER"] == "passed"
    assert seen["SSL_CERT_FILE"] == "/some/where.pem"
    assert seen["HTTPS_PROXY"] == "http://proxy:3128"
    assert seen["PATH"] == os.environ["PATH"]
    assert seen[MARK]
