"""Another engine as a child process: a package named vllm whose server is a scripted Ponder stands in for the real one,
which needs an environment of its own (`make serve-vllm`)."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from listening import free_port

from ponder.core.errors import LoadError, UserError
from ponder.engine.remote.process import EngineProcess

STAND_IN = """
import os, sys
flags = dict(zip(sys.argv[1::1], sys.argv[2::1]))
if flags["--model"] == "broken":
    print("ValueError: no such model")
    print("\\n".join("a later line" for _ in range(40)))
    sys.exit(3)
os.execv(sys.executable, [sys.executable, "-m", "ponder", "serve", "scripted:" + flags["--model"],
                          "--port", flags["--port"], "--log-level", "error"])
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script to serve; and the stand-in where the child's Python finds it."""
    place = tmp_path / "packages" / "vllm" / "entrypoints" / "openai"
    place.mkdir(parents=True)
    for folder in (place, place.parent, place.parent.parent):
        (folder / "__init__.py").touch()
    (place / "api_server.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setenv("PONDER_HOME", str(tmp_path))
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"text": "Four."}) + "\n")
    return path


def answers(url: str) -> bool:
    try:
        return httpx.get(url + "/models").status_code == 200
    except httpx.TransportError:
        return False


def soon(true: "object", seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def test_it_comes_up_comes_back_and_goes(script: Path) -> None:
    told: list[str] = []
    with EngineProcess("vllm", str(script), python=sys.executable, said=told.append) as engine:
        assert answers(engine.url) and engine.name == "s.jsonl"
        first = engine.pid
        [child] = psutil.Process(first).children()
        child.kill()
        assert soon(lambda: engine.pid != first and answers(engine.url)), "it is started again"
        assert "ended with code -9" in told[0]
        last = [psutil.Process(engine.pid), *psutil.Process(engine.pid).children()]
    assert len(last) == 2 and soon(lambda: not any(p.is_running() for p in last)), "nothing is left behind"


def test_one_that_does_not_come_up_says_why(script: Path) -> None:
    with pytest.raises(LoadError, match="code 3") as failed:
        EngineProcess("vllm", "broken", python=sys.executable)
    assert "ValueError: no such model" in str(failed.value), "the cause is shown though it is far above the end"
    with pytest.raises(UserError, match="environment of its own"):
        EngineProcess("sglang", "x")


@contextmanager
def front(*flags: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen(
        [sys.executable, "-m", "ponder", "serve", *flags, "--port", str(port), "--log-level", "error"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield url, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends the child only there")
def test_the_child_dies_with_the_server_even_when_that_is_killed(script: Path) -> None:
    flags = ("--engine", "vllm", str(script), "--engine-python", sys.executable, "--dialect", "ponder")
    with front(*flags) as (url, process):
        assert soon(lambda: answers(url + "/v1"))
        ask = {"messages": [{"role": "user", "content": "2 + 2?"}], "enable_thinking": False}
        reply = httpx.post(url + "/v1/chat/completions", json=ask, timeout=30).json()
        assert reply["choices"][0]["message"]["content"] == "Four." and reply["model"] == "s.jsonl"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 2, "the engine and its supervisor"
        process.kill()
        assert soon(lambda: all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in children))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--engine", "openai"), "needs --url"),
        (("--url", "http://127.0.0.1:9"), "needs --engine"),
        (("--engine", "openai", "--url", "http://127.0.0.1:9"), "no server at --url answers"),
        (("--engine", "vllm"), "starts one model"),
        (("--engine", "openai", "--url", "x", "m"), "no URL"),
        (("--engine", "openai", "--url", "http://127.0.0.1:9", "--memory", "3", "m"), "--memory"),
    ],
)
def test_flags_that_cannot_be(flags: tuple[str, ...], said: str) -> None:
    with front(*flags) as (_, process):
        assert process.wait(60) == 2
        assert process.stderr is not None and said in process.stderr.read()
