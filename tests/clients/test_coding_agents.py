"""Sessions of the real Codex, Claude Code, qwen-code and opencode, in a home of their own, with `ponder serve` and a
model that follows a script: ten tools and more, files written and read, a command that fails, a picture that no text
model sees, a tool that is not there; interrupted in the middle of a reply, and taken up again. What ends such sessions
is something in the history, which goes out with every request.

    make test-clients        # installs them, too (npm)
"""

import json
from pathlib import Path
from typing import Any

import pytest
from agent_sessions import ENDLESS, LINES, MODEL, TITLES, Session, call, scripted_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CHANGED = LINES.replace("line 7\n", "LINE 7\n")


def events_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def test_codex(tmp_path: Path) -> None:
    session = Session("codex", tmp_path, {})
    wrote = f"cat > a.txt <<'END'\n{LINES}END"
    replies = (
        f"First.\n{call('exec_command', cmd=wrote)}",
        call("exec_command", cmd="wc -l < a.txt"),
        call("view_image", path="p.png"),
        call("exec_command", cmd="exit 3"),
        call("update_goal", status="complete"),
        call("update_plan", plan=[{"step": "write", "status": "completed"}, {"step": "check", "status": "pending"}]),
        call("exec_command", cmd="sed -i 's/^line 7$/LINE 7/' a.txt"),
        f"Two at once.\n{call('exec_command', cmd='head -n 3 a.txt')}\n{call('exec_command', cmd='tail -n 3 a.txt')}",
        call("exec_command", cmd="seq 1 5000"),
        call("exec_command", cmd="grep -n LINE a.txt"),
        "All done.",
        ENDLESS,
        call("exec_command", cmd="echo more >> a.txt"),
        "More is done.",
    )
    with scripted_server(tmp_path, *replies) as base:
        (session.home / ".codex").mkdir()
        (session.home / ".codex" / "config.toml").write_text(
            f'model = "{MODEL}"\nmodel_provider = "ponder"\ncheck_for_update_on_startup = false\n'
            f'[analytics]\nenabled = false\n[model_providers.ponder]\nname = "ponder"\nbase_url = "{base}/v1"\n'
            'wire_api = "responses"\n'
        )
        free = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")
        events = events_of(session.run("codex", "exec", *free, "do it"))
        assert not [e for e in events if e["type"] in ("error", "turn.failed")], events
        assert (session.work / "a.txt").read_text() == CHANGED
        items = [e["item"] for e in events if e["type"] == "item.completed"]
        said = [i["text"] for i in items if i["type"] == "agent_message"]
        assert said == ["First.", "Two at once.", "All done."]
        assert [i["exit_code"] for i in items if i["type"] == "command_execution"] == [0, 0, 3, 0, 0, 0, 0, 0]
        session.interrupt(base, "codex", "exec", "resume", "--last", *free, "tell me more")
        again = session.run("codex", "exec", "resume", "--last", *free, "go on")
        assert "More is done." in again and (session.work / "a.txt").read_text() == f"{CHANGED}more\n"


def test_claude_code(tmp_path: Path) -> None:
    work = tmp_path / "work"
    file = str(work / "a.txt")
    replies = (
        f"First.\n{call('Write', file_path=file, content=LINES)}",
        call("Read", file_path=str(work / "p.png")),
        call("Edit", file_path=file, old_string="line 7\n", new_string="LINE 7\n"),
        call("Bash", command="exit 3", description="fails"),
        call("WebSearch", query="ponder"),
        call("web_search", query="ponder"),  # asked for in a request of its own
        call("Read", file_path=file, offset=5, limit=5),
        call("NoSuchTool", x=1),
        f"Two at once.\n{call('Bash', command='head -n 3 a.txt')}\n{call('Bash', command='tail -n 3 a.txt')}",
        call("Bash", command="seq 1 5000", description="counts"),
        call("Write", file_path=str(work / "b.txt"), content="b\n"),
        call("Bash", command="wc -l a.txt b.txt", description="counts lines"),
        "All done.",
        ENDLESS,
        call("Bash", command="echo more >> a.txt", description="adds a line"),
        "More is done.",
    )
    with scripted_server(tmp_path, *replies) as base:
        session = Session("claude-code", tmp_path, {
            "ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_KEY": "none", "ANTHROPIC_MODEL": MODEL,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": TITLES, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        })  # fmt: skip
        ask = ("--allowedTools", "Write,Read,Edit,Bash,WebSearch", "--output-format", "stream-json", "--verbose")
        events = events_of(session.run("claude", "-p", "do it", *ask))
        assert (events[-1]["subtype"], events[-1]["result"]) == ("success", "All done."), events[-1]
        assert (work / "a.txt").read_text() == CHANGED and (work / "b.txt").read_text() == "b\n"
        given = [part for e in events if e["type"] == "user" for part in e["message"]["content"]]
        results = [json.dumps(part["content"]) for part in given if part["type"] == "tool_result"]
        assert len(results) == 12 and "image" in results[1] and "Web search error: unavailable" in results[4], results
        session.interrupt(base, "claude", "-p", "tell me more", "--continue", *ask)
        again = session.run("claude", "-p", "go on", "--continue", *ask)
        assert "More is done." in again and (work / "a.txt").read_text() == f"{CHANGED}more\n"


def test_qwen_code(tmp_path: Path) -> None:
    work = tmp_path / "work"
    file = str(work / "a.txt")
    replies = (
        f"First.\n{call('write_file', file_path=file, content=LINES)}",
        call("read_file", file_path=str(work / "p.png")),
        call("edit", file_path=file, old_string="line 7\n", new_string="LINE 7\n"),
        call("run_shell_command", command="exit 3", is_background=False),
        call("no_such_tool", x=1),
        call("read_file", file_path=file, offset=5, limit=5),
        call("glob", pattern="*.txt"),
        call("grep_search", pattern="LINE"),
        f"Two at once.\n{call('run_shell_command', command='head -n 3 a.txt', is_background=False)}\n"
        f"{call('run_shell_command', command='tail -n 3 a.txt', is_background=False)}",
        call("write_file", file_path=str(work / "b.txt"), content="b\n"),
        call("run_shell_command", command="seq 1 5000", is_background=False),
        "All done.",
        ENDLESS,
        call("run_shell_command", command="echo more >> a.txt", is_background=False),
        "More is done.",
    )
    with scripted_server(tmp_path, *replies) as base:
        session = Session("qwen-code", tmp_path, {
            "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{base}/v1", "OPENAI_MODEL": MODEL,
        })  # fmt: skip
        sees: dict[str, Any] = {"model": {"generationConfig": {"modalities": {"image": True}}}}  # so that it sends some
        (session.home / ".qwen").mkdir()
        (session.home / ".qwen" / "settings.json").write_text(json.dumps(sees))
        ask = ("--auth-type", "openai", "--yolo", "--output-format", "stream-json")
        events = events_of(session.run("qwen", *ask, "-p", "do it"))
        assert (events[-1]["subtype"], events[-1]["result"]) == ("success", "All done."), events[-1]
        assert (work / "a.txt").read_text() == CHANGED and (work / "b.txt").read_text() == "b\n"
        results = [
            r for e in events if e["type"] == "user" for r in e["message"]["content"] if r["type"] == "tool_result"
        ]
        assert [n for n, r in enumerate(results) if r["is_error"]] == [3, 4] and len(results) == 12
        assert "Skipped" not in str(results[1])
        session.interrupt(base, "qwen", *ask, "--continue", "-p", "tell me more")
        again = session.run("qwen", *ask, "--continue", "-p", "go on")
        assert "More is done." in again and (work / "a.txt").read_text() == f"{CHANGED}more\n"


def test_opencode(tmp_path: Path) -> None:
    work = tmp_path / "work"
    file = str(work / "a.txt")
    replies = (
        f"First.\n{call('write', filePath=file, content=LINES)}",
        call("read", filePath=str(work / "p.png")),
        call("edit", filePath=file, oldString="line 7\n", newString="LINE 7\n"),
        call("bash", command="exit 3", description="fails"),
        call("no_such_tool", x=1),
        call("read", filePath=file, offset=5, limit=5),
        call("write", filePath=str(work / "b.txt"), content="b\n"),
        call("bash", command="ls", description="lists"),
        f"Two at once.\n{call('bash', command='head -n 3 a.txt', description='begins')}\n"
        f"{call('bash', command='tail -n 3 a.txt', description='ends')}",
        call("todowrite", todos=[{"id": "1", "content": "write", "status": "completed", "priority": "high"}]),
        call("bash", command="seq 1 5000", description="counts"),
        "All done.",
        ENDLESS,
        call("bash", command="echo more >> a.txt", description="adds a line"),
        "More is done.",
    )
    with scripted_server(tmp_path, *replies) as base:
        session = Session("opencode", tmp_path, {
            "OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1", "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        })  # fmt: skip
        limit = {"context": 100000, "output": 8000}
        sees = {"attachment": True, "modalities": {"input": ["text", "image"], "output": ["text"]}}
        models = {name: {"name": name, "tool_call": True, "limit": limit, **sees} for name in (MODEL, TITLES)}
        provider = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": f"{base}/v1"}, "models": models}
        (work / "opencode.json").write_text(json.dumps({
            "provider": {"ponder": provider}, "model": f"ponder/{MODEL}", "small_model": f"ponder/{TITLES}",
        }))  # fmt: skip
        ask = ("opencode", "run", "--format", "json")
        events = events_of(session.run(*ask, "do it"))
        assert not [e for e in events if e["type"] == "error"], events
        assert [e["part"]["text"] for e in events if e["type"] == "text"] == ["First.", "Two at once.", "All done."]
        tools = [(e["part"]["tool"], e["part"]["state"]["status"]) for e in events if e["type"] == "tool_use"]
        assert len(tools) == 12 and {status for _, status in tools} == {"completed"}, tools
        assert [tool for tool, _ in tools if tool == "invalid"] == ["invalid"], "the one that is not there"
        assert (work / "a.txt").read_text() == CHANGED and (work / "b.txt").read_text() == "b\n"
        session.interrupt(base, *ask, "--continue", "tell me more")
        again = session.run(*ask, "--continue", "go on")
        assert "More is done." in again and (work / "a.txt").read_text() == f"{CHANGED}more\n"
