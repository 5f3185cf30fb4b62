"""The log of a conversation: resumed after a kill, replayed without a model, branched."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from saying import call, thought

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.event import CallDone, CallStarted, MessageAdded, RunDone
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.replay import replay
from ponder.agent.loop.session import Session, branch, read_session
from ponder.agent.loop.session_markdown import transcript
from ponder.agent.tools.function_tool import function_tool
from ponder.agent.tools.tool import Image, Output
from ponder.core.errors import UserError
from ponder.core.message import Message

pytestmark = pytest.mark.anyio


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def plot() -> Output:
    """Draw."""
    return Output("drawn", images=(Image("image/png", bytes(range(256)), "a.png"),))


async def run(llm, session: Session, text: str | None, tools=(add, plot), **options) -> RunDone:
    messages = [*session.messages, *([Message.user(text)] if text else [])]
    async with Agent(llm, tools=tools, limits=options.pop("limits", None)) as agent:
        return await agent.start(messages, session=session, **options).wait()


SCRIPT = [
    thought("First.") + call("add", a=1) + call("plot"),
    call("nothing", x="\u202e 你好"),
    '<tool_call>\n{"name": "add"',
    "Two, and a picture.",
    call("add", a=2, b=2),
    "Four.",
]


async def test_a_replay_is_the_same_transcript(scripted, tmp_path: Path) -> None:
    with Session(tmp_path / "s.jsonl") as session:
        await run(scripted(*SCRIPT), session, "One and one, and a picture?")
        await run(scripted(*SCRIPT[4:]), session, "Two and two?")
        events = session.events
    assert read_session(tmp_path / "s.jsonl") == events, "what was written is what was kept"
    again = await replay(events)
    assert transcript(again) == transcript(events)
    assert [e for e in again if isinstance(e, MessageAdded)] == [e for e in events if isinstance(e, MessageAdded)]
    assert transcript(events).count("**call ") == 4 == transcript(events).count("**result call_")
    ends = [e for e in again if isinstance(e, RunDone)]
    assert [e.text for e in ends] == ["Two, and a picture.", "Four."]


@pytest.mark.parametrize("limits", [Limits(steps=2), Limits(outputs_chars=3), Limits(same_note=2, same_stop=3)])
async def test_a_run_that_was_limited_replays(scripted, tmp_path: Path, limits: Limits) -> None:
    with Session(tmp_path / "s.jsonl") as session:
        await run(scripted(*[call("add", a=1)] * 9), session, "Go.", limits=limits)
        assert transcript(await replay(session.events, limits)) == transcript(session.events)


async def test_a_replay_of_another_record_is_an_error(scripted, tmp_path: Path) -> None:
    with Session(tmp_path / "s.jsonl") as session:
        await run(scripted(*[call("add", a=1)] * 9), session, "Go.", limits=Limits(steps=2))
        with pytest.raises(UserError, match="the replay differs"):
            await replay(session.events, Limits(steps=1))


async def test_a_run_that_waited_replays(scripted, tmp_path: Path) -> None:
    tools = [function_tool(add, approval="ask")]
    with Session(tmp_path / "s.jsonl") as session:
        llm = scripted(call("add", a=1), "Two.")
        end = await run(llm, session, "Go.", tools)
        assert end.reason == "waiting"
        assert (await run(llm, session, None, tools, decisions={end.waiting[0].id: "once"})).text == "Two."
        assert transcript(await replay(session.events)) == transcript(session.events)


async def test_a_branch_goes_its_own_way(scripted, tmp_path: Path) -> None:
    with Session(tmp_path / "a.jsonl") as session:
        await run(scripted("One."), session, "1?")
        await run(scripted("Two."), session, "2?")
        with session.branch(tmp_path / "b.jsonl", 2) as new:
            assert [m.text for m in new.messages] == ["1?", "One."]
            await run(scripted("Three."), new, "3?")
            assert [m.text for m in new.messages] == ["1?", "One.", "3?", "Three."]
            assert new.head.parent == "a.jsonl@2"
        assert [m.text for m in session.messages] == ["1?", "One.", "2?", "Two."]


PROGRAM = """
import asyncio, sys, time
from ponder.agent.loop.agent import Agent
from ponder.agent.loop.session import Session
from ponder.core.message import Message
from ponder.engine.llm import LLM

async def slow(n: int) -> str:
    "Takes its time."
    with open(sys.argv[3], "a") as f:
        f.write(f"{n}\\n")
    await asyncio.sleep(0.2 if n < 2 else 60)
    return f"did {n}"

async def main():
    session = Session(sys.argv[1])
    messages = session.messages or [Message.user("Go.")]
    async with Agent(LLM(sys.argv[2]), tools=[slow]) as agent:
        print((await agent.start(messages, session=session).wait()).text)

asyncio.run(main())
"""


async def test_killed_and_resumed(tmp_path: Path) -> None:
    """kill -9 in the middle of the second call: nothing is done twice, the model hears of the call that was lost."""
    first, second, done = tmp_path / "1.jsonl", tmp_path / "2.jsonl", tmp_path / "done"
    first.write_text("\n".join(json.dumps(call("slow", n=n)) for n in (1, 2)))
    second.write_text(json.dumps("Finished."))
    log = tmp_path / "s.jsonl"
    words = [sys.executable, "-c", PROGRAM, str(log)]
    process = subprocess.Popen([*words, f"scripted:{first}", str(done)])
    until = time.monotonic() + 60
    while (not done.exists() or done.read_text() != "1\n2\n") and time.monotonic() < until:
        await asyncio.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with open(log, "ab") as f:
        f.write(b'{"type":"said","mess')  # torn off in the middle of a line
    again = subprocess.run([*words, f"scripted:{second}", str(done)], capture_output=True, text=True, timeout=60)
    assert again.stdout == "Finished.\n", again.stderr
    assert done.read_text() == "1\n2\n", "no call was made again"
    events = read_session(log)
    did, lost = (e.output.text for e in events if isinstance(e, CallDone))
    assert did == "did 1" and "may or may not have taken effect" in lost
    assert sum(isinstance(e, CallStarted) for e in events) == 2
    assert transcript(await replay(events)) == transcript(events)


async def test_only_one_program_writes(tmp_path: Path) -> None:
    with Session(tmp_path / "s.jsonl"), pytest.raises(UserError, match="in use"):
        Session(tmp_path / "s.jsonl")


@pytest.mark.parametrize("text", ["hello\n", '{"type":"said"}\n', '{"type":"note","text":"x"}\n', "[]\n"])
async def test_a_file_that_is_no_session(tmp_path: Path, text: str) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=r"s\.jsonl"):
        Session(file)
    assert file.read_text() == text, "it is left as it is"


HEAD = b'{"type":"session","conversation":"s","version":1,"parent":""}\n'
FOREIGN = {
    "JSON": b'{"notes": "an hour of work"}',
    "one line": b"one line, no end of line",
    "a picture": bytes(n for n in range(256) if n != 10),
    "a brace": b"{",
    "an event, no head": b'{"type":"said","message":{"role":"user","content":[]}}',
    "a log with a note below": HEAD + b"my own note",
    "a log with JSON below": HEAD + b'{"notes": 1}',
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
async def test_what_is_no_log_is_left_byte_for_byte(tmp_path: Path, content: bytes) -> None:
    file, new = tmp_path / "mine.dat", tmp_path / "new.jsonl"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.dat"):
        Session(file)
    with pytest.raises(UserError, match=r"mine\.dat"):
        branch(file, new, 1)
    with pytest.raises(UserError, match=r"mine\.dat"):
        read_session(file)
    with Session(tmp_path / "s.jsonl") as session, pytest.raises(UserError, match=r"mine\.dat"):
        session.branch(file, 0)
    assert file.read_bytes() == content
    assert not new.exists(), "nothing is begun when there is nothing to branch from"


@pytest.mark.parametrize("torn", [b"", b"{", b'{"ty', b'{"type":"said","mess'])
async def test_the_source_of_a_branch_is_not_written(tmp_path: Path, torn: bytes) -> None:
    source = tmp_path / "a.jsonl"
    with Session(source, "s") as session:
        session.add(MessageAdded(Message.user("1?")))
    source.write_bytes(before := source.read_bytes() + torn)
    with branch(source, tmp_path / "b.jsonl", 1) as new:
        assert [m.text for m in new.messages] == ["1?"]
    assert [e.message.text for e in read_session(source) if isinstance(e, MessageAdded)] == ["1?"]
    assert source.read_bytes() == before
    with Session(source), branch(source, tmp_path / "c.jsonl", 0) as new:
        assert new.messages == [], "also of one that is in use"
    with pytest.raises(UserError, match=r"missing\.jsonl"):
        branch(tmp_path / "missing.jsonl", tmp_path / "d.jsonl", 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl"]


async def test_opening_drops_only_what_was_torn_off(tmp_path: Path) -> None:
    log = tmp_path / "s.jsonl"
    log.write_bytes(b"")
    with Session(log) as session:
        session.add(MessageAdded(Message.user("1?")))
    whole = log.read_bytes()
    for tail, kept in ((b'{"type":"said","mess', whole), (b"{", whole)):
        log.write_bytes(whole + tail)
        Session(log).close()
        assert log.read_bytes() == kept
    log.write_bytes(whole[:-1])  # an editor that leaves out the last end of line
    with Session(log) as session:
        assert [m.text for m in session.messages] == ["1?"]
    assert log.read_bytes() == whole
    log.write_bytes(b'{"type":"session","conv')
    with Session(log) as session:
        assert session.events == []
    assert log.read_bytes().startswith(b'{"type":"session","conversation":"s"')


async def test_another_conversation_is_not_mixed_in(scripted, tmp_path: Path) -> None:
    with Session(tmp_path / "s.jsonl") as session:
        await run(scripted("One."), session, "1?")
        async with Agent(scripted("x")) as agent:
            end = await agent.start("Something else", session=session).wait()
        assert end.reason == "error" and "another conversation" in end.text
