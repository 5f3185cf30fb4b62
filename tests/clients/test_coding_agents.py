"""Sessions of the real Codex and Claude Code, in a home of their own, with `ponder serve` and a model that follows a
script: files written and read, a command that fails, a picture that no text model sees, a search that is not there, and
the session taken up again. What ends such sessions is something in the history, which goes out with every request.

    make test-clients        # installs them, too (npm)
"""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from roster import AGENTS, Client
from serving import ponder_serve

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LINES = "".join(f"line {n}\n" for n in range(60))
pytestmark = pytest.mark.slow


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def script(folder: Path, *replies: str) -> str:
    """The argument that makes `ponder serve` offer a model that says this."""
    lines = ['{"model": {"context": 100000}}', *(json.dumps(f"<think>\nHm.\n</think>\n\n{r}") for r in replies)]
    (folder / "session.jsonl").write_text("\n".join(lines) + "\n")
    return f"scripted:{folder / 'session.jsonl'}"


class Session:
    """home: of the agent. work: where it works."""

    def __init__(self, client: Client, folder: Path, variables: dict[str, str]) -> None:
        self.home, self.work = folder / "home", folder / "work"
        for path in (self.home, self.work):
            path.mkdir()
        (self.work / "p.png").write_bytes(base64.b64decode(PICTURE))
        self._bin = client.home / "node_modules" / ".bin"
        self._variables = {"HOME": str(self.home), "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"} | variables

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [str(self._bin / command[0]), *command[1:]],
            cwd=self.work, env=self._variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout


def ready(name: str) -> Client:
    if not AGENTS[name].ready:
        pytest.skip(f"{name} is not installed: make test-clients")
    return AGENTS[name]


def test_codex(tmp_path: Path) -> None:
    client = ready("codex")
    wrote = f"cat > a.txt <<'END'\n{LINES}END"
    model = script(
        tmp_path,
        f"First.\n{call('exec_command', cmd=wrote)}",
        call("exec_command", cmd="wc -l < a.txt"),
        call("view_image", path="p.png"),
        call("exec_command", cmd="exit 3"),
        call("update_goal", status="complete"),
        "All done.",
        call("exec_command", cmd="echo more >> a.txt"),
        "More is done.",
    )
    with ponder_serve(model) as base:
        session = Session(client, tmp_path, {})
        (session.home / ".codex").mkdir()
        (session.home / ".codex" / "config.toml").write_text(
            f'model = "{model}"\nmodel_provider = "ponder"\ncheck_for_update_on_startup = false\n'
            f'[analytics]\nenabled = false\n[model_providers.ponder]\nname = "ponder"\nbase_url = "{base}/v1"\n'
            'wire_api = "responses"\n'
        )
        free = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")
        events = [json.loads(line) for line in session.run("codex", "exec", *free, "do it").splitlines()]
        assert not [e for e in events if e["type"] in ("error", "turn.failed")], events
        assert (session.work / "a.txt").read_text() == LINES
        items = [e["item"] for e in events if e["type"] == "item.completed"]
        assert [i["text"] for i in items if i["type"] == "agent_message"] == ["First.", "All done."]
        assert [i["exit_code"] for i in items if i["type"] == "command_execution"] == [0, 0, 3]
        again = session.run("codex", "exec", "resume", "--last", *free, "go on")
        assert "More is done." in again and (session.work / "a.txt").read_text() == f"{LINES}more\n"


def test_claude_code(tmp_path: Path) -> None:
    client = ready("claude-code")
    work = tmp_path / "work"
    model = script(
        tmp_path,
        f"First.\n{call('Write', file_path=str(work / 'a.txt'), content=LINES)}",
        call("Read", file_path=str(work / "p.png")),
        call("Edit", file_path=str(work / "a.txt"), old_string="line 7\n", new_string="LINE 7\n"),
        call("Bash", command="exit 3", description="fails"),
        call("WebSearch", query="ponder"),
        call("web_search", query="ponder"),  # asked for in a request of its own
        "All done.",
        call("Bash", command="echo more >> a.txt", description="adds a line"),
        "More is done.",
    )
    with ponder_serve(model) as base:
        session = Session(client, tmp_path, {
            "ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_KEY": "none", "ANTHROPIC_MODEL": model,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": model, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        })  # fmt: skip
        ask = ("--allowedTools", "Write,Read,Edit,Bash,WebSearch", "--output-format", "stream-json", "--verbose")
        events = [json.loads(line) for line in session.run("claude", "-p", "do it", *ask).splitlines()]
        assert (events[-1]["subtype"], events[-1]["result"]) == ("success", "All done."), events[-1]
        assert (work / "a.txt").read_text() == LINES.replace("line 7\n", "LINE 7\n")
        given = [part for e in events if e["type"] == "user" for part in e["message"]["content"]]
        results = [json.dumps(part["content"]) for part in given if part["type"] == "tool_result"]
        assert len(results) == 5 and "image" in results[1] and "Web search error: unavailable" in results[4], results
        again = session.run("claude", "-p", "go on", "--continue", *ask)
        assert "More is done." in again and (work / "a.txt").read_text().endswith("more\n")
