"""`ponder mcp-check` and what `ponder mcp` says when it cannot."""

import json
import os
import subprocess
import sys
from pathlib import Path

FAULTS = Path(__file__).parents[2] / "agent" / "mcp_faults"


def ponder(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ponder", *args], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PONDER_HOME": str(home)},
    )  # fmt: skip


def server(name: str, **more: object) -> dict[str, object]:
    return {"command": sys.executable, "args": [str(FAULTS / f"{name}.py")], **more}


def test_a_config_is_tried_and_a_changed_tool_approved(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"mcpServers": {"good": server("good", approval="auto")}}))
    done = ponder(tmp_path, "mcp-check", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "good-echo  auto  Says it again.\n", "")
    pins = tmp_path / "mcp-pins.json"
    seen = json.loads(pins.read_text())
    [key] = seen
    pins.write_text(json.dumps({key: {"echo": "another"}}))  # as if it had looked different before
    done = ponder(tmp_path, "mcp-check", str(file))
    assert done.stdout == ""
    assert "tool 'echo' is switched off" in done.stderr
    done = ponder(tmp_path, "mcp-check", str(file), "--approve", "good-echo")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(pins.read_text()) == seen
    assert ponder(tmp_path, "mcp-check", str(file)).stdout.startswith("good-echo")


def test_what_does_not_start_or_hold_is_said(tmp_path: Path) -> None:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"mcpServers": {"gone": {"command": "no-such-program"}, "good": server("good")}}))
    done = ponder(tmp_path, "mcp-check", str(file))
    assert done.returncode == 1
    assert done.stdout.startswith("good-echo")
    assert "'gone': there is no command 'no-such-program' on the PATH" in done.stderr
    file.write_text('{"mcpServers": {"x": {"cmd": "y"}}}')
    done = ponder(tmp_path, "mcp-check", str(file))
    assert done.returncode == 2
    assert "unknown key 'cmd'" in done.stderr
    assert "Traceback" not in done.stderr
    done = ponder(tmp_path, "mcp", "scripted:none.jsonl", "--http", "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "--no-auth" in done.stderr
