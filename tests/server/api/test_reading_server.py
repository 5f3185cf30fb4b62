"""LC-6 over HTTP: a streamed chat says how much of a long prompt has been read, where that is asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM

LONG: dict[str, Any] = {"messages": [{"role": "user", "content": "word " * 3000}], "stream": True, "model": "s"}


@pytest.fixture
def base(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "s.jsonl").write_text(json.dumps({"model": {"read_ms": 0.7}}) + '\n"Yes, of course."\n')
    llm = LLM(f"scripted:{tmp_path / 's.jsonl'}", chunk=256)
    with server({"s": lambda: llm}) as url:
        yield url


def chunks(base: str, **more: Any) -> list[dict[str, Any]]:
    text = httpx.post(base + "/v1/chat/completions", json=LONG | more, timeout=60).text
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def test_progress_comes_before_the_first_text(base: str) -> None:
    found = chunks(base, return_progress=True)
    told = [c["prompt_progress"] for c in found if "prompt_progress" in c]
    said = [bool(c["choices"][0]["delta"].get("content")) for c in found]
    assert len(told) >= 2 and "prompt_progress" in found[1] and not any(said[: len(told) + 1])
    assert [p["processed"] for p in told] == sorted({p["processed"] for p in told})
    assert all(0 < p["processed"] < p["total"] and p["cache"] == 0 for p in told)
    assert 0 < told[0]["time_ms"] < told[-1]["time_ms"]
    usage = chunks(base, return_progress=True, stream_options={"include_usage": True})[-1]["usage"]
    assert told[0]["total"] == usage["prompt_tokens"] and usage["prompt_tokens_details"]["cached_tokens"] > 2900


def test_nobody_is_told_who_did_not_ask(base: str) -> None:
    assert not [c for c in chunks(base) if "prompt_progress" in c]
