"""SR-5: a stream's headers come at once, a comment while nothing is said, and an error behind them is well formed."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.core.errors import LoadError
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

HI = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": HI, "max_tokens": 500},
}


def scripted(folder: Path, **reply: Any) -> LLM:
    path = folder / "s.jsonl"
    path.write_text(json.dumps({"text": "Yes, of course."} | reply) + "\n")
    return LLM(f"scripted:{path}")


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("api", BODIES)
def test_a_silent_stream_says_that_it_lives(tmp_path: Path, api: str) -> None:
    """Each id takes a second: headers and comments come before the first one."""
    llm = scripted(tmp_path, delay_ms=1000)
    with server({"s": lambda: llm}, ServerConfig(keep_alive=0.15)) as base:
        httpx.get(base + "/health")
        start = time.monotonic()
        with httpx.stream("POST", base + api, json=BODIES[api] | {"stream": True}, timeout=30) as reply:
            headers_after = time.monotonic() - start
            assert reply.headers["x-accel-buffering"] == "no" and "text/event-stream" in reply.headers["content-type"]
            lines = []
            for line in reply.iter_lines():
                lines.append(line)
                if "Yes" in line:
                    break
    assert lines.count(": keep-alive") >= 2, lines
    assert headers_after < 0.9, "before the first id"


ALL = BODIES | {"/api/chat": {"model": "s", "messages": HI}, "/completion": {"prompt": "hi"}}


@pytest.mark.parametrize(
    ("path", "fails"), [*((path, True) for path in ALL), ("/v1/messages", False), ("/api/chat", False)]
)
def test_headers_and_signs_of_life_while_the_model_is_loaded(tmp_path: Path, path: str, fails: bool) -> None:
    """It is loaded when the client has seen both; then the reply follows, or what went wrong, in the dialect."""
    seen = threading.Event()

    def load() -> LLM:
        assert seen.wait(60)
        if fails:
            raise LoadError("the file is broken")
        return scripted(tmp_path)

    with (
        server({"s": load}, ServerConfig(keep_alive=0.05)) as base,
        httpx.stream("POST", base + path, json=ALL[path] | {"stream": True}, timeout=60) as reply,
    ):
        lines = reply.iter_lines()
        first = next(lines)
        assert reply.status_code == 200 and (first == ": keep-alive" or '"done":false' in first), first
        seen.set()
        rest = "\n".join(lines)
    assert ("Yes" in rest, "the file is broken" in rest) == (not fails, fails), rest


@pytest.mark.parametrize("api", BODIES)
def test_an_error_behind_the_headers_is_an_item(tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = scripted(tmp_path, text="one two three four five six seven eight", delay_ms=10)
    decode, steps = llm.engine.runner.decode, 0

    def failing(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 4:
            raise RuntimeError("a secret of the kernel")
        return decode(*args)

    monkeypatch.setattr(llm.engine.runner, "decode", failing)
    with server({"s": lambda: llm}) as base:
        reply = httpx.post(base + api, json=BODIES[api] | {"stream": True}, timeout=30)
        told = [json.loads(x[6:]) for x in reply.text.splitlines() if x.startswith("data: {")]
        assert reply.status_code == 200 and "one" in reply.text and "secret" not in reply.text
        failed = told[-1].get("error", told[-1])  # the responses API has the message beside the type
        assert "the server failed" in failed["message"], told[-1]
        if api in ("/v1/chat/completions", "/v1/completions"):
            assert reply.text.rstrip().endswith("data: [DONE]")
