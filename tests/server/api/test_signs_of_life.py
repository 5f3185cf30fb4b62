"""SR-5: a stream's headers come at once, a comment while nothing is said, and an error behind them is well formed."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

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
