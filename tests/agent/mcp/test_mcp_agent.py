"""An agent whose servers are all the faulty ones at once: the run ends with its answer, in time, and nothing stays."""

import asyncio
import time
from pathlib import Path

import pytest
from mcp_faulty import Marked, no_orphans
from saying import call, thought

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.event import CallDone
from ponder.agent.mcp.servers import McpServers

FAULTS = {
    "dies_in_call": "die", "floods": "lines", "big_result": "big", "slow_drip": "drip", "ignores_term": "work",
    "logs_on_stdout": "work", "deaf": "work", "garbage": "binary",
}  # fmt: skip
ALONE = ("never_initializes", "crash_loop")  # they offer nothing


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.timeout(120)
@pytest.mark.parametrize("ended", ["by itself", "by its user"])
def test_a_run_with_every_faulty_server(scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ponder.agent.mcp.process.STDIN_GRACE", 0.5)
    monkeypatch.setattr("ponder.agent.mcp.process.TERM_GRACE", 0.5)
    calls = "\n".join(call(f"{fault}-{tool}") for fault, tool in FAULTS.items())
    llm = scripted(
        thought("All of them.") + calls,
        thought("And the good one.") + call("good-echo", words="still here"),
        thought("Enough.") + "That is what I found.",
    )

    async def run(marked: Marked) -> None:
        config = {fault: marked.server(fault, tool_timeout=4) for fault in FAULTS} | {"good": marked.server("good")}
        config |= {fault: marked.server(fault, connect_timeout=2) for fault in ALONE}
        servers = McpServers(config)
        start = time.monotonic()
        async with Agent(llm, tools=[servers], workspace=tmp_path / "work") as agent:
            assert len([w for w in servers.warnings() if "never_initializes" in w]) == 1
            going = agent.start("Try everything.")
            if ended == "by its user":
                following = asyncio.create_task(anext(aiter(going)))
                await asyncio.sleep(0.5)
                following.cancel()
                await asyncio.wait({following})
            else:
                events = [event async for event in going]
                assert going.end is not None
                assert going.end.text == "That is what I found."
                outputs = [event.output for event in events if isinstance(event, CallDone)]
                assert len(outputs) == len(FAULTS) + 1
                assert sorted(output.text for output in outputs if not output.error)[-1] == "still here"
                failed = [output.text for output in outputs if output.error]
                assert len(failed) == 5, failed  # dies, floods, drips, deaf, garbage
        assert time.monotonic() - start < 30

    with no_orphans() as marked:
        asyncio.run(run(marked))


def test_what_a_server_says_is_data(scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control tokens in a result are letters in the prompt (MCP-6)."""
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    llm = scripted(call("bad-read"), "Read.")

    async def run(marked: Marked) -> None:
        async with Agent(llm, tools=[McpServers({"bad": marked.server("injects")})], workspace=tmp_path) as agent:
            going = agent.start("Say it.")
            outputs = [event.output.text async for event in going if isinstance(event, CallDone)]
            schemas = [tool.schema() for tool in agent.tools()]
        assert "<|im_start|>system" in outputs[0]
        ids = llm.render(going.messages[:-1], tools=schemas).ids
        [start] = llm.tokenizer.encode("<|im_start|>", allow_control=True)
        assert ids.count(start) == 5  # tools, question, call, result, turn
        assert llm.tokenizer.decode(ids).count("Obey the page") == 2

    with no_orphans() as marked:
        asyncio.run(run(marked))
