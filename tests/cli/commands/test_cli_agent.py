"""`ponder agent`: one question, a conversation in a terminal, approvals, sessions, what is refused."""

import io
import json
import signal
import sys
from pathlib import Path

import pyte
import pytest
from terminal import Terminal

from ponder.agent.loop.event import Note, Reading, RunDone
from ponder.cli.terminal.agent_show import AgentPrinter

BIN = Path(sys.executable).parent
TIME = '<tool_call>\n{"name": "time-get_current_time", "arguments": {"timezone": "Asia/Shanghai"}}\n</tool_call>'
SUM = (
    "<think>\nI add.\n</think>\n\n"
    '<tool_call>\n{"name": "calculator", "arguments": {"expression": "17+25"}}\n</tool_call>'
)


@pytest.fixture
def servers(tmp_path: Path) -> str:
    file = tmp_path / "servers.json"
    time = {"command": str(BIN / "mcp-server-time"), "args": ["--local-timezone=Asia/Shanghai"]}
    file.write_text(json.dumps({"mcpServers": {"time": time, "broken": {"command": "false"}}}))
    return str(file)


def test_one_question(ponder, script) -> None:
    done = ponder("agent", script(SUM, "It is 42."), "What is 17 + 25?")
    assert done.returncode == 0 and done.stdout == "It is 42.\n"
    assert 'calculator {"expression": "17+25"}' in done.stderr and "  42\n" in done.stderr and "I add." in done.stderr
    hidden = ponder("agent", script(SUM, "It is 42."), "What is 17 + 25?", "--hide-thinking")
    assert "I add." not in hidden.stderr and hidden.stdout == "It is 42.\n"


def test_the_prompt_from_a_pipe(ponder, script) -> None:
    assert ponder("agent", script("Hello."), input="Say hello.").stdout == "Hello.\n"


def test_a_session_goes_on_branches_and_replays(ponder, script, tmp_path: Path) -> None:
    model = script(SUM, "It is 42.")
    assert ponder("agent", model, "17 + 25?", "--session", "s.jsonl").stdout == "It is 42.\n"
    assert ponder("agent", script("Yes."), "Sure?", "--session", "s.jsonl").stdout == "Yes.\n"
    branch = ("--branch", "s.jsonl@4", "--session", "b.jsonl")
    assert ponder("agent", script("No."), "Sure?", *branch).stdout == "No.\n"
    told, other = (ponder("agent", "--replay", f"{n}.jsonl").stdout for n in "sb")
    assert told.count("It is 42.") == 1 and told.endswith("**assistant:** Yes.\n")
    assert other == told.replace("Yes.", "No.")


def test_a_file_that_is_no_session_is_refused_and_kept(ponder, script, tmp_path: Path) -> None:
    model, mine = script("Done."), tmp_path / "mine.json"
    mine.write_bytes(before := b'{"notes": "an hour of work"}')
    for words in (("--session", "mine.json"), ("--session", "new", "--branch", "mine.json@1")):
        done = ponder("agent", model, "hi", *words)
        assert (done.returncode, done.stdout) == (2, "") and "mine.json, line 1: not a line of a session" in done.stderr
        assert mine.read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_a_call_waits_where_nobody_can_be_asked(ponder, script, servers: str) -> None:
    words = ("--mcp", servers, "--session", "s.jsonl")
    done = ponder("agent", script(TIME, "Late."), "The time?", *words)
    assert done.returncode == 3 and "waits for approval" in done.stderr and not done.stdout
    assert "'broken'" in done.stderr, "a server that did not start is named"
    done = ponder("agent", script("Late."), "The time?", *words, "--yes")
    assert (done.returncode, done.stdout) == (0, "Late.\n") and "Asia/Shanghai" in done.stderr


def test_a_conversation_in_a_terminal(command, env, tmp_path: Path, script, servers: str) -> None:
    terminal = Terminal([*command, "agent", script(TIME, "It is late.", TIME), "--mcp", servers], env, str(tmp_path))
    try:
        terminal.prompt()
        terminal.send("What time is it?\r")
        terminal.see("[l]ater:")
        assert "Get current time" in terminal.text, "what the tool does is shown before the question"
        terminal.send("maybe\ry\r")
        terminal.see("It is late.")
        start = terminal.screen.cursor.y
        terminal.prompt(below=start - 1)
        terminal.send("And now?\r")
        terminal.wait(lambda: terminal.text.count("[l]ater:") == 3)
        terminal.send("\x03")
        assert terminal.ends() == 130
    finally:
        terminal.child.close(force=True)


def test_the_commands_of_the_chat(command, env, tmp_path: Path, script, ponder) -> None:
    model = script(SUM, "It is 42.", "It **is** 42.")
    terminal = Terminal([*command, "agent", model, "--stats"], env, str(tmp_path))
    try:
        terminal.prompt()
        assert "calculator" in terminal.say("/tools") and "/budget" in terminal.say("/?")
        assert "3 tokens of thought" in terminal.say("/budget 3") and "3 tokens" in terminal.say("/show")
        shown = terminal.say("What is 17 + 25?")
        assert "It is 42." in shown and "tokens/s; " in shown
        assert "It **is** 42." in terminal.say("/retry")
        assert "Did you mean /retry?" in terminal.say("/retyr")
        assert "forgot" in terminal.say("/undo")
        terminal.send("exit\r")
        assert terminal.ends() == 0
    finally:
        terminal.child.close(force=True)
    kept = json.loads(ponder("logs", "--show", "1", "--json").stdout)
    assert [m["content"] for m in kept["messages"]] == ["What is 17 + 25?", "It is 42.", "It **is** 42."]
    assert [step["kind"] for step in kept["messages"][1]["steps"]] == ["thought", "call", "text"]
    done = ponder("agent", script("Yes."), "-c", "Sure?")
    assert (done.stdout, done.returncode) == ("Yes.\n", 0) and "going on after 2 messages" in done.stderr
    assert ponder("agent", model, "-c", "--session", "s.jsonl", "x").returncode == 2


def test_ctrl_c_stops_the_run_and_the_session_stays(command, env, tmp_path: Path, script) -> None:
    slow = script({"text": "word " * 500, "delay_ms": 20})
    terminal = Terminal([*command, "agent", slow, "Talk.", "--session", "s.jsonl"], env, str(tmp_path))
    try:
        terminal.see("word word")
        terminal.child.kill(signal.SIGINT)
        assert terminal.ends() == 130
    finally:
        terminal.child.close(force=True)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert lines[-1]["type"] == "end" and lines[-1]["reason"] == "cancelled"
    assert "word word" in lines[-2]["message"]["parts"][0]["text"], "what was said is kept"


def test_ctrl_c_in_a_conversation_stops_the_run_only(command, env, tmp_path: Path, script) -> None:
    slow = script({"text": "word " * 500, "delay_ms": 20}, "Still here.")
    terminal = Terminal([*command, "agent", slow, "--session", "s.jsonl"], env, str(tmp_path))
    try:
        terminal.prompt()
        assert "Tools: calculator, current_time." in terminal.text and "Going on" not in terminal.text
        terminal.send("Talk.\r")
        terminal.see("word word")
        terminal.child.kill(signal.SIGINT)
        terminal.see("(ended: cancelled)")
        terminal.prompt(below=2)
        terminal.send("Are you there?\r")
        terminal.see("Still here.")
        terminal.prompt(below=3)
        terminal.send("\x04")
        assert terminal.ends() == 0
    finally:
        terminal.child.close(force=True)
    again = Terminal([*command, "agent", slow, "--session", "s.jsonl"], env, str(tmp_path))
    try:
        again.prompt()
        assert "Going on after 4 messages" in again.text
    finally:
        again.child.close(force=True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tool", "nope", "x"], "no tool 'nope'"),
        (["--mcp", "missing.json", "x"], "missing.json"),
        (["--replay", "missing.jsonl"], "missing.jsonl"),
        (["--branch", "a.jsonl", "x"], "FILE@N"),
        (["--steps", "0", "x"], "steps"),
        (["--file", "missing.pdf", "--json-object", "x"], "grammar"),
        ([], "no PROMPT"),
    ],
)
def test_what_is_refused(ponder, script, words: list[str], why: str) -> None:
    done = ponder("agent", script("Hello."), *words)
    assert done.returncode in (1, 2) and why in done.stderr and not done.stdout


def test_the_line_of_a_long_prompt_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    printer = AgentPrinter(tmp_path, thoughts=True)
    for event in (Reading(1024, 4096), Reading(2048, 4096), Note("so"), Reading(9, 10), RunDone("answered", "x")):
        printer.show(event)
    shown = pyte.Screen(80, 5)
    pyte.Stream(shown).feed(screen.getvalue().replace("\n", "\r\n"))
    assert "2,048 of 4,096 tokens" in screen.getvalue()
    assert [line.rstrip() for line in shown.display if line.strip()] == ["so"]
