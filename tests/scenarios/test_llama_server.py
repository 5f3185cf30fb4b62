"""llama.cpp's own server behind ours: what `remote/dialects.py` says of it holds for the real one.

    make test-llama-server

A random tiny model says nonsense, but always the same; what is looked at is how both servers understand each other.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from listening import free_port, until_up
from live import server
from msgspec.structs import replace

from ponder.engine.remote import RemoteModel
from ponder.model.config import PRESETS
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.weights.random import packed_random
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

PEERS = Path(__file__).parents[2] / "runs" / "peers"
PROGRAM = Path(os.environ.get("PONDER_LLAMA_SERVER", PEERS / "bin" / "llama-server"))
MESSAGES: list[Any] = [{"role": "user", "content": "Tell me something."}]
OFF = {"enable_thinking": False}
SCHEMA = {
    "type": "object", "properties": {"k": {"enum": [1, 2]}}, "required": ["k"], "additionalProperties": False
}  # fmt: skip
TOOL: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(900),
    pytest.mark.skipif(not PROGRAM.exists(), reason="llama.cpp's server is not there: make test-llama-server"),
]  # fmt: skip


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real server's URL, with a random model of 16 MB."""
    folder: Path = tmp_path_factory.mktemp("gguf")
    save(Tokenizer.packaged(), folder)
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=4096, initializer_range=0.2)
    write_gguf(folder / "tiny.gguf", packed_random(config, "int8"), folder, "Q8_0", lambda done, total: None)
    port = free_port()
    size = ["-np", "4", "-c", str(4 * 2048), "-t", "1"]
    command = [PROGRAM, "-m", folder / "tiny.gguf", "--jinja", *size, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        until_up(url, process)
        while httpx.get(url + "/health").status_code == 503:  # it answers while it loads
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def base(upstream: str) -> Iterator[str]:
    model = RemoteModel(upstream)
    with server({"m": lambda: model}) as url:
        yield url


@pytest.fixture(scope="module")
def ask(base: str) -> Any:
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0, timeout=300)
    return partial(client.chat.completions.create, model="m", messages=MESSAGES, max_tokens=10, temperature=0)


def test_it_is_known_for_what_it_is(upstream: str) -> None:
    owners = {card["owned_by"] for card in httpx.get(upstream + "/v1/models").json()["data"]}
    assert owners == {"llamacpp"}, "what dialects.OWNERS looks for"


@pytest.mark.parametrize("extra", [OFF, {"enable_thinking": True, "thinking_budget": 4}, {}])
def test_streamed_equals_whole(ask: Any, extra: dict[str, Any]) -> None:
    whole = ask(extra_body=extra)
    *chunks, last = ask(extra_body=extra, stream=True, stream_options={"include_usage": True})
    deltas = [c.choices[0].delta for c in chunks]
    assert "".join(d.content or "" for d in deltas) == (whole.choices[0].message.content or "")
    thoughts = "".join(d.model_extra.get("reasoning_content", "") for d in deltas)
    assert thoughts == whole.choices[0].message.model_extra.get("reasoning_content", "")
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert last.usage.completion_tokens == whole.usage.completion_tokens == 10
    assert whole.model_extra["effective"]["temperature"] == 0
    warnings = " ".join(whole.model_extra.get("warnings", ()))
    assert "did not say" not in warnings, "its usage came through"


def test_stop_seed_bias_and_samplers_arrive(ask: Any) -> None:
    text = ask(extra_body=OFF).choices[0].message.content
    stop = text[3:6]
    cut = ask(extra_body=OFF, stop=[stop]).choices[0]
    assert (cut.message.content, cut.finish_reason) == (text[: text.index(stop)], "stop")
    drawn = partial(ask, temperature=1.5, extra_body=OFF)
    texts = [drawn(seed=seed).choices[0].message.content for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]
    token = Tokenizer.packaged().encode("Hello")[0]
    assert ask(extra_body=OFF, logit_bias={str(token): 100}, max_tokens=3).choices[0].message.content == "Hello" * 3
    certain = drawn(seed=5, extra_body=OFF | {"top_k": 1}).choices[0].message.content
    assert certain == text, "top_k arrives"


def test_logprobs_and_several_answers(ask: Any) -> None:
    found = ask(extra_body=OFF, max_tokens=3, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert len(found) == 3 and all(e.logprob < 0 and len(e.top_logprobs) == 2 for e in found)
    assert all(e.top_logprobs[0].logprob >= e.logprob - 1e-6 for e in found)
    several = ask(extra_body=OFF, n=2, temperature=1.5, seed=1)
    assert [c.index for c in several.choices] == [0, 1] and several.usage.completion_tokens == 20
    streamed = list(ask(extra_body=OFF, n=2, stream=True))
    ends = [c.choices[0].index for c in streamed if c.choices and c.choices[0].finish_reason]
    assert sorted(ends) == [0, 1]


def test_schemas_hold_and_tools_are_told_of(ask: Any) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}
    answer = ask(extra_body=OFF, response_format=form, max_tokens=100).choices[0]
    assert answer.finish_reason == "length" or "".join(answer.message.content.split()) in ('{"k":1}', '{"k":2}')
    free, offered = ask(extra_body=OFF), ask(extra_body=OFF, tools=[TOOL])
    assert offered.usage.prompt_tokens > free.usage.prompt_tokens + 50, "the tools are in its prompt"
    must = ask(extra_body=OFF, tools=[TOOL], tool_choice="required")
    called = must.choices[0].message.tool_calls
    assert called or "there must be a call" in " ".join(must.model_extra["warnings"]), "kept, or told that it was not"
    with pytest.raises(openai.BadRequestError, match="tool_choice"):
        ask(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "add"}})


def test_errors_are_told_and_the_connection_lives(ask: Any, base: str) -> None:
    with pytest.raises(openai.BadRequestError, match="2048"):
        ask(messages=[{"role": "user", "content": "word " * 5000}])
    with httpx.Client(base_url=base, timeout=60) as http:  # one connection
        for _ in range(2):
            refused = http.post("/v1/embeddings", json={"input": "Hi", "model": "m"})
            assert refused.status_code == 502 and "embeddings" in refused.json()["error"]["message"]
        assert http.get("/health").status_code == 200


def test_leaving_frees_its_slot(base: str, upstream: str) -> None:
    body = {"messages": MESSAGES, "max_tokens": 1500, "stream": True, "model": "m"} | OFF
    with httpx.stream("POST", base + "/v1/chat/completions", json=body, timeout=60) as reply:
        lines = reply.iter_lines()
        for _ in range(6):
            next(lines)
        assert any(slot["is_processing"] for slot in httpx.get(upstream + "/slots").json())
    for _ in range(200):
        if not any(slot["is_processing"] for slot in httpx.get(upstream + "/slots", timeout=60).json()):
            return
    raise AssertionError("it goes on for nobody")


def test_the_command_serves_it(upstream: str, tmp_path: Path) -> None:
    """`ponder serve --engine openai --url`, as a process."""
    port = free_port()
    command = [sys.executable, "-m", "ponder", "serve", "--engine", "openai", "--url", upstream, "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | {"PONDER_HOME": str(tmp_path)}, stderr=subprocess.PIPE)
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
            chat = {"messages": MESSAGES, "stream": False, "think": False, "model": "default"}
            reply = http.post("/api/chat", json=chat | {"options": {"num_predict": 4}}).json()
            assert reply["eval_count"] == 4 and reply["message"]["content"], reply
    finally:
        process.terminate()
        process.wait(60)
