"""What a session of a whole program (Codex, Claude Code ...) is made of: a model that follows a script behind
`ponder serve`, a home and a working folder of the program's own, and its runs, to their end or interrupted."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from roster import AGENTS, Client
from serving import ponder_serve

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LINES = "".join(f"line {n}\n" for n in range(60))
ENDLESS: dict[str, Any] = {"text": "<think>\nOn and on.\n</think>\n\nWord after word.", "eos": False, "delay_ms": 20}
MODEL, TITLES = "scripted-model", "titles"


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


@contextlib.contextmanager
def scripted_server(folder: Path, *replies: str | dict[str, Any]) -> Iterator[str]:
    """The URL of a server with MODEL, which says this in this order, and TITLES for what programs ask beside."""
    lines = [
        {"model": {"context": 100000}},
        *(r if isinstance(r, dict) else f"<think>\nHm.\n</think>\n\n{r}" for r in replies),
    ]
    for name, said in (("session", lines), ("titles", ["A title"])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    session, titles = f"scripted:{folder / 'session.jsonl'}", f"scripted:{folder / 'titles.jsonl'}"
    names = ("--served-model-name", MODEL, "--served-model-name", f"{TITLES}={titles}")
    with ponder_serve(session, titles, "--keep", "2", *names) as base:
        yield base


class Session:
    """home: of the program. work: where it works."""

    def __init__(self, name: str, folder: Path, variables: dict[str, str]) -> None:
        client: Client = AGENTS[name]
        if not client.ready:
            pytest.skip(f"{name} is not installed: make test-clients")
        self.home, self.work = folder / "home", folder / "work"
        for path in (self.home, self.work):
            path.mkdir()
        (self.work / "p.png").write_bytes(base64.b64decode(PICTURE))
        self._bin = client.home / "node_modules" / ".bin"
        self._variables = {"HOME": str(self.home), "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"} | variables

    def _start(self, command: tuple[str, ...], output: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self._bin / command[0]), *command[1:]],
            cwd=self.work, env=self._variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str) -> str:
        process = self._start(command, subprocess.PIPE)
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, (out[-3000:], errors[-3000:])
        return out

    def interrupt(self, base: str, *command: str) -> None:
        """Ctrl-C in the middle of a reply: the server stops computing it, and the program ends."""
        process = self._start(command, subprocess.DEVNULL)
        try:
            wait_until(lambda: any(generated > 10 for generated in running(base)))
            os.killpg(process.pid, signal.SIGINT)
            wait_until(lambda: not running(base))
            process.wait(30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def running(base: str) -> list[int]:
    """How many ids each reply has that is being computed."""
    slots = httpx.get(base + "/slots", timeout=30).json()
    return [slot["next_token"][0]["n_decoded"] for slot in slots if slot["is_processing"]]


def wait_until(holds: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
