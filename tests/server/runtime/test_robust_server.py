"""What the server does when things are not nice: random outputs, clients that leave, requests that make no sense."""

import json
import random
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from dialect_readers import DIALECTS
from live import server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig
from ponder.text.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.packaged()
MESSAGES = [{"role": "user", "content": "hi"}]
SLOW = partial(pytest.param, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
# a period too long for the loop guard
ENDLESS = "<think>\n" + " ".join(f"thought {i * i}" for i in range(200))


def random_ids(rng: random.Random, length: int) -> list[int]:
    """Any ids of the vocabulary, thoughts and calls among them, no end of turn."""
    special = [TOKENIZER.think, TOKENIZER.end_think, TOKENIZER.tool_call, TOKENIZER.end_tool_call]
    call = TOKENIZER.encode('{"name": "f", "arguments": {"x": "é👋"}}')
    out: list[int] = []
    while len(out) < length:
        kind = rng.random()
        if kind < 0.05:
            out.append(rng.choice(special))
        elif kind < 0.08:
            out += [TOKENIZER.tool_call, *call, TOKENIZER.end_tool_call]
        else:
            out.append(rng.randrange(0, 151643))
    return out


@pytest.mark.parametrize("count", [40, SLOW(500)])
@pytest.mark.parametrize("path", DIALECTS)
def test_random_outputs_are_equal_streamed_and_whole(path: str, count: int, tmp_path: Path) -> None:
    rng = random.Random(path)
    script = tmp_path / "s.jsonl"
    replies = [random_ids(rng, rng.randrange(1, 60)) for _ in range(count)]
    script.write_text("".join(json.dumps({"ids": r}) + "\n" for r in replies for _ in range(2)))
    whole, streamed, extra = DIALECTS[path]
    body = {"model": "s", "messages": MESSAGES, "tools": [{"type": "function", "function": {"name": "f"}}]}
    if path == "/v1/messages":
        body["tools"] = [{"name": "f", "input_schema": {}}]
    elif path == "/v1/responses":
        body = {"model": "s", "input": "hi", "tools": [{"type": "function", "name": "f"}]}
    elif path in ("/v1/completions", "/api/generate"):
        body = {"model": "s", "prompt": "hi"}
    with server({"s": partial(LLM, f"scripted:{script}")}) as base, httpx.Client(base_url=base, timeout=30) as http:
        for _ in range(count):
            limit = {"max_tokens": extra["max_tokens"]} if "max_tokens" in extra else {}
            plain = http.post(path, json=body | limit | {"stream": False})
            assert plain.status_code == 200, plain.text
            with http.stream("POST", path, json=body | extra | {"stream": True}) as reply:
                raw = b"".join(reply.iter_raw()).decode("utf-8", "strict")
            lines = [x for x in raw.split("\n") if x and not x.startswith(":")]
            assert streamed(lines) == whole(plain.json())


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, LLM]]:
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text(json.dumps({"text": ENDLESS, "eos": False, "delay_ms": 2}) + "\n")
    llm = LLM(f"scripted:{script}")
    with server({"s": lambda: llm}) as base:
        yield base, llm


def settled(llm: LLM, base: str) -> None:
    """Within a second nobody holds anything any more."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        stats = llm.stats()
        in_flight = httpx.get(base + "/health").json()["in_flight"]
        if not (stats.running or stats.waiting or in_flight):
            break
        time.sleep(0.02)
    scheduler, pool = llm.engine.scheduler, llm.engine.pool
    assert not scheduler.running and not scheduler.waiting and in_flight == 0
    pool.check()
    assert not any(pool.refs), "a block is held by nobody"


@pytest.mark.parametrize("count", [120, SLOW(1000)])
def test_clients_that_leave_leak_nothing(slow_model: tuple[str, LLM], count: int) -> None:
    base, llm = slow_model
    where = urlsplit(base)
    rng = random.Random(7)
    for n in range(count):
        path = rng.choice(list(DIALECTS))
        body = {"model": "s", "messages": MESSAGES, "prompt": "hi", "input": "hi", "max_tokens": 5000}
        body["stream"] = rng.random() < 0.6
        raw = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
        with socket.create_connection((where.hostname or "", where.port or 0)) as s:
            s.sendall((head + raw)[: rng.choice([len(head) // 2, len(head) + 5, 10**9, 10**9, 10**9])])
            s.settimeout(0.2)
            time.sleep(rng.random() * 0.03)
            if rng.random() < 0.3 and body["stream"]:
                try:
                    s.recv(100)
                except TimeoutError:
                    continue
        if n % 40 == 39:
            settled(llm, base)
    settled(llm, base)


def test_cancel_and_answer_now(slow_model: tuple[str, LLM]) -> None:
    base, llm = slow_model
    body = {"model": "s", "messages": MESSAGES, "stream": True, "max_tokens": 30000}
    for action, reason in (("cancel", "length"), ("answer-now", None)):
        with httpx.stream("POST", base + "/v1/chat/completions", json=body, timeout=30) as reply:
            lines = (x for x in reply.iter_lines() if x.startswith("data: {"))
            id_ = json.loads(next(lines)[6:])["id"]
            for _ in range(3):
                next(lines)
            assert httpx.post(f"{base}/v1/requests/{id_}/{action}").status_code == 200
            for line in lines:
                choice = json.loads(line[6:])["choices"][0]
                if reason is None and "content" in choice["delta"]:
                    break  # the thoughts are over, the answer has begun
                if reason is not None and choice["finish_reason"]:
                    assert choice["finish_reason"] == reason
        settled(llm, base)
    assert httpx.post(f"{base}/v1/requests/nope/cancel").status_code == 404


def test_the_queue_is_bounded_and_time_is_limited(tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text(json.dumps({"text": ENDLESS, "eos": False, "delay_ms": 5}) + "\n")
    llm = LLM(f"scripted:{script}")
    with server({"s": lambda: llm}, ServerConfig(queue=0, timeout=4.0), capacity=2) as base:
        body = {"messages": MESSAGES, "stream": True, "max_tokens": 30000}
        url = base + "/v1/chat/completions"
        with httpx.stream("POST", url, json=body) as a, httpx.stream("POST", url, json=body) as b:
            refused = httpx.post(url, json=body)
            assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
            for reply in (a, b):
                lines = [x for x in reply.iter_lines() if x.startswith("data: {")]
                assert json.loads(lines[-1][6:])["choices"][0]["stop_reason"] == "timeout"
        assert httpx.post(url, json={"messages": MESSAGES, "max_tokens": 5}).status_code == 200


NASTY: list[Any] = [
    None, True, -1, 0, 1e308, -(2**63), 2**64, 1e18, "", "x" * 5000, "\ud800", "\x00", [], [[]], {}, {"a": {}}, [None],
    [1, "a"], "日本", {"type": "function"}, {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}},
    [{"type": "function", "function": {"name": 3}}], [{"role": "user", "content": [{"type": "image_url"}]}],
    [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}], {"type": "enabled"},
    {"151935": 5, "-1": 2}, [151935], [-1], {"effort": 3}, float(2**53),
]  # fmt: skip
FIELDS = {
    "/v1/chat/completions": "messages model stream stream_options max_tokens max_completion_tokens temperature top_p "
    "top_k min_p presence_penalty frequency_penalty repetition_penalty seed stop logit_bias logprobs top_logprobs n "
    "response_format tools tool_choice enable_thinking think chat_template_kwargs reasoning_effort reasoning thinking "
    "thinking_budget preserve_thinking metadata",
    "/v1/responses": "input model instructions stream max_output_tokens temperature tools tool_choice reasoning text "
    "previous_response_id metadata include truncation",
    "/v1/completions": "prompt model stream max_tokens echo logprobs temperature top_k seed stop logit_bias n "
    "suffix best_of",
    "/v1/messages": "messages model system stream max_tokens temperature top_p top_k stop_sequences tools tool_choice "
    "thinking output_config metadata",
    "/v1/messages/count_tokens": "messages system tools",
    "/api/chat": "messages model tools format options stream think keep_alive logprobs top_logprobs",
    "/api/generate": "prompt model system raw format options stream think context images template logprobs",
    "/api/show": "model name verbose",
}


@pytest.mark.parametrize("count", [300, SLOW(10_000)])
def test_nonsense_gets_4xx_and_the_server_lives(tmp_path: Path, count: int) -> None:
    rng = random.Random(3)
    script = tmp_path / "s.jsonl"
    script.write_text('"<think>\\nHm.\\n</think>\\n\\nYes."\n')
    bad: dict[int, int] = {}
    with server({"s": partial(LLM, f"scripted:{script}")}) as base, httpx.Client(base_url=base, timeout=60) as http:
        for _ in range(count):
            path = rng.choice(list(FIELDS))
            body: dict[str, Any] = {"model": "s", "messages": MESSAGES, "prompt": "hi", "stream": False, "input": "x"}
            changed = rng.sample(FIELDS[path].split(), rng.randrange(1, 4))
            for name in changed:
                body[name] = rng.choice(NASTY)
            raw = json.dumps(body).encode("utf-8", "surrogatepass")
            if rng.random() < 0.05:
                raw = raw[: rng.randrange(len(raw))]
            body["stream"] = False
            reply = http.post(path, content=raw)
            assert reply.status_code < 500, (path, body, reply.text)
            bad[reply.status_code] = bad.get(reply.status_code, 0) + 1
            if reply.status_code >= 400 and reply.status_code != 499:
                told = reply.json()
                assert "Traceback" not in reply.text and told.get("error"), reply.text
                said = told["error"]
                said = said if isinstance(said, str) else f"{said['message']} {said.get('param')}"
                names = [*changed, "body", "message", "prompt"]
                assert any(name in said for name in names), (path, changed, reply.text)
        assert http.get("/health").json() == {"status": "ok", "in_flight": 0}
    assert bad[200] > count / 50 and bad[400] > count / 2, bad
