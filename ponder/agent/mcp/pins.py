"""What a tool looked like when it was first used, so that it cannot quietly become another one.

$PONDER_HOME/mcp-pins.json holds a hash of description, schema and annotations for every tool of every server (by name
and command or address). First sight is approval; a tool that differs from its pin stays off until `approve`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from filelock import FileLock

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.model.hub.store import home


def fingerprint(description: str, schema: dict[str, Any], read_only: bool) -> str:
    text = json.dumps([description, schema, read_only], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def pins_file() -> Path:
    return home() / "mcp-pins.json"


def check(server: str, prints: dict[str, str]) -> set[str]:
    """The tools whose fingerprint is not the pinned one; what was never seen is pinned. Raises UserError when the file
    cannot be read: guessing would approve everything."""
    with _lock():
        pins = _read()
        known = pins.setdefault(server, {})
        new = {tool: mark for tool, mark in prints.items() if tool not in known}
        if new:
            known.update(new)
            _write(pins)
    return {tool for tool, mark in prints.items() if known[tool] != mark}


def approve(server: str, tool: str, mark: str) -> None:
    """From now on this is what the tool looks like."""
    with _lock():
        pins = _read()
        pins.setdefault(server, {})[tool] = mark
        _write(pins)


def _lock() -> FileLock:
    home().mkdir(parents=True, exist_ok=True)
    return FileLock(f"{pins_file()}.lock", timeout=10)


def _read() -> dict[str, dict[str, str]]:
    try:
        pins: dict[str, dict[str, str]] = json.loads(pins_file().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as e:
        raise UserError(f"{pins_file()} is damaged ({e}); delete it to approve all MCP tools again") from e
    return pins


def _write(pins: dict[str, dict[str, str]]) -> None:
    with replacing(pins_file()) as file:
        file.write(json.dumps(pins, indent=1, sort_keys=True).encode())
