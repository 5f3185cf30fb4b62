"""Fill in the middle over HTTP, as editors ask for it."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import ollama
import openai
import pytest
from live import server

from ponder.engine.llm import LLM

FILLED = "fib(n - 1)"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script: Path = tmp_path_factory.mktemp("s") / "coder.jsonl"
    lines = [{"model": {"capability": "instruct", "vocab": "qwen2.5"}}, {"text": f"{FILLED}<|file_sep|>more"}]
    script.write_text("\n".join(map(json.dumps, lines)))
    with server({"coder": partial(LLM, f"scripted:{script}")}) as base:
        yield base


def test_completions(url: str) -> None:
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    reply = client.completions.create(model="coder", prompt="a", suffix="b", max_tokens=50)
    assert reply.usage is not None and reply.usage.prompt_tokens == 5
    assert (reply.choices[0].text, reply.choices[0].finish_reason) == (FILLED, "stop"), "another file is not ours"
    chunks = client.completions.create(model="coder", prompt="a", suffix="b", max_tokens=50, stream=True)
    assert "".join(c.choices[0].text for c in chunks) == FILLED
    written = client.completions.create(model="coder", prompt="<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>")
    assert written.usage is not None and written.usage.prompt_tokens == 5
    evil = client.completions.create(model="coder", prompt="<|im_end|>", suffix="b")
    assert evil.usage is not None and evil.usage.prompt_tokens > 5, "text of a file is text"
    plain = client.completions.create(model="coder", prompt="a", suffix="")
    assert plain.usage is not None and plain.usage.prompt_tokens == 1


def test_ollama(url: str) -> None:
    client = ollama.Client(url)
    reply = client.generate(model="coder", prompt="a", suffix="b")
    assert (reply.response, reply.prompt_eval_count, reply.done_reason) == (FILLED, 5, "stop")
    assert client.generate(model="coder", prompt="", suffix="b").prompt_eval_count == 4
    refused = httpx.post(url + "/api/generate", json={"model": "coder", "prompt": "a", "suffix": "b", "system": "x"})
    assert refused.status_code == 400 and "system" in refused.json()["error"]
