"""A front before several real servers: who gets a request, who is left alone, what a client sees when one dies."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from listening import free_port, listening
from live import server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ponder.core.errors import UpstreamError, UserError
from ponder.core.event import Finish, TextDelta, ToolCallDelta, ToolCallDone
from ponder.core.message import Message
from ponder.core.params import SamplingParams
from ponder.core.request import ChatRequest
from ponder.engine.llm import LLM
from ponder.engine.remote import RemoteModel

REPLY = "<think>\nHm.\n</think>\n\nFour."
ENDLESS = "<think>\n" + " ".join(f"thought {i * i}" for i in range(200))


def script(folder: Path, name: str, **reply: Any) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text(json.dumps({"text": REPLY} | reply) + "\n")
    return path


def asking(text: str = "2 + 2?", **sampling: Any) -> ChatRequest:
    return ChatRequest(messages=(Message.user(text),), sampling=SamplingParams(**sampling))


def text_of(model: RemoteModel, request: ChatRequest) -> str:
    return "".join(e.text for e in model.stream(request) if isinstance(e, TextDelta))


@contextmanager
def backends(folder: Path, count: int, **reply: Any) -> Iterator[list[tuple[str, LLM]]]:
    """Real servers with a script each: (URL, its LLM)."""
    with ExitStack() as stack:
        found = []
        for n in range(count):
            llm = LLM(f"scripted:{script(folder, f's{n}', **reply)}")
            found.append((stack.enter_context(server({"m": lambda llm=llm: llm})), llm))
        yield found


class Odd:
    """A server that misbehaves as its `mood` says: a status, or "break" (a token, then the end), "hang", "late"."""

    def __init__(self) -> None:
        self.mood: Any = 200
        self.asked = 0
        self.app = Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/health", self.health),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ]
        )

    async def models(self, request: Request) -> Response:
        return JSONResponse({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 1000}]})

    async def health(self, request: Request) -> Response:
        return Response(status_code=200 if self.mood in (200, 429, "break") else 500)

    async def chat(self, request: Request) -> Response:
        self.asked += 1
        if isinstance(self.mood, int) and self.mood != 200:
            error = {"message": f"mood {self.mood}", "param": "seed"}
            return JSONResponse({"error": error}, self.mood, headers={"Retry-After": "7"})

        async def items() -> Any:
            if self.mood == "break":
                yield 'data: {"id": "x", "choices": [{"index": 0, "delta": {"content": "ha"}}]}\n\n'
            elif self.mood == 200:
                choice = {"index": 0, "delta": {"content": "Odd."}, "finish_reason": "stop"}
                yield f"data: {json.dumps({'id': 'x', 'choices': [choice]})}\n\n"
                yield "data: [DONE]\n\n"

        return StreamingResponse(items(), media_type="text/event-stream")


@pytest.fixture
def odd() -> Iterator[tuple[str, Odd]]:
    it = Odd()
    with listening(it.app) as base:
        yield base, it


def test_a_remote_ponder_answers_like_the_local_one(tmp_path: Path) -> None:
    replies = [
        REPLY,
        '<think>\nx\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>',
        "日本👋",
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps({"text": r}) + "\n" for r in replies))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    behind = server({"m": partial(LLM, f"scripted:{path}")})
    with LLM(f"scripted:{path}") as local, behind as base, RemoteModel(base) as remote:
        assert remote.offered() == ("m",) and remote.profile.context == 0, "not loaded yet, so it cannot tell"
        for n in range(len(replies)):
            request = ChatRequest(messages=(Message.user(f"q{n}"),), tools=(tool,), sampling=SamplingParams(seed=3))
            here, there = local.stream(request), remote.stream(request)
            a, b = (m.result(h, [list(h)]) for m, h in ((local, here), (remote, there)))
            assert a.message.parts == b.message.parts and b.message.ids is None
            assert a.finish.usage == b.finish.usage and a.finish.effective.seed == b.finish.effective.seed == 3
        assert remote.count_tokens(asking()) == local.count_tokens(asking())


def test_the_arguments_of_a_call_come_while_they_are_written(tmp_path: Path) -> None:
    arguments = json.dumps({"text": "and so on " * 40})
    call = f'<tool_call>\n{{"name": "write", "arguments": {arguments}}}\n</tool_call>'
    parameters = {"type": "object", "properties": {"text": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "write", "parameters": parameters}}
    asked = ChatRequest(messages=(Message.user("hi"),), tools=(tool,), call_deltas=True)
    with backends(tmp_path, 1, text=call, delay_ms=2) as [(url, _)], RemoteModel(url) as model:
        events = list(model.stream(asked))
    pieces = [e.text for e in events if isinstance(e, ToolCallDelta)]
    assert len(pieces) > 1 and arguments.startswith("".join(pieces))
    assert [e.call.arguments for e in events if isinstance(e, ToolCallDone)] == [arguments]


def test_several_choices_logprobs_and_raw_prompts(tmp_path: Path) -> None:
    with backends(tmp_path, 1) as [(base, _)], RemoteModel(base) as remote:
        handle = remote.stream(asking(n=2, logprobs=1))
        events: list[list[Any]] = [[], []]
        for choice, event in handle.merged():
            events[choice].append(event)
        result = remote.result(handle, events)
        assert [c.text for c in result.choices] == ["Four.", "Four."]
        answer = [p for p in result.choices[0].logprobs if not p.reasoning]
        assert b"".join(p.bytes for p in answer).endswith(b"Four.") and len(answer[0].top) == 1
        raw = remote.generate_stream("once", max_tokens=4)
        assert "Hm" in "".join(e.text for e in raw if isinstance(e, TextDelta))


def test_cancel_and_answer_now_reach_the_other_server(tmp_path: Path) -> None:
    with (
        backends(tmp_path, 1, text=ENDLESS, eos=False, delay_ms=2, answer="Done.") as [(base, llm)],
        RemoteModel(base) as remote,
    ):
        handle = remote.stream(asking(max_tokens=20_000))
        events = iter(handle)
        next(events)
        handle.answer_now()
        assert any(isinstance(e, TextDelta) for e in events)
        handle.cancel()
        left = remote.stream(asking(max_tokens=20_000))
        next(iter(left))
        left.cancel()
        last = list(left)[-1]
        assert isinstance(last, Finish) and last.reason == "cancelled"
        deadline = time.monotonic() + 5
        while llm.stats().running and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not llm.stats().running


def test_requests_go_where_there_is_room_and_beginnings_stay_together(tmp_path: Path) -> None:
    with (
        backends(tmp_path, 3, text=ENDLESS, delay_ms=5, eos=False) as found,
        RemoteModel([u for u, _ in found]) as fleet,
    ):
        handles = [fleet.stream(asking(f"question {n}", max_tokens=2000)) for n in range(24)]
        for handle in handles:
            next(iter(handle.merged()))  # keeps it open until the handle goes
        spread = sorted(s.requests for s in fleet.stats())
        assert sum(spread) == 24 and spread[-1] - spread[0] <= 12, spread
    with backends(tmp_path, 3) as found, RemoteModel([u for u, _ in found]) as fleet:
        for turn in range(8):
            talk = (
                Message.system("You are Tom."),
                Message.user("hi"),
                Message.assistant("yes"),
                Message.user(f"turn {turn}"),
            )
            list(fleet.stream(ChatRequest(messages=talk)))
        assert sorted(s.requests for s in fleet.stats()) == [0, 0, 8]


@pytest.mark.parametrize("mood", [500, 503, 429, 404, "hang-up"])
def test_another_server_takes_what_one_fails_before_the_first_token(
    mood: Any, odd: tuple[str, Odd], tmp_path: Path
) -> None:
    base, it = odd
    it.mood = mood
    with backends(tmp_path, 1) as [(good, _)], RemoteModel([base, good], model="m") as fleet:
        for n in range(12):  # some of them would begin at the odd one
            assert text_of(fleet, asking(f"q{n}")) == "Four."
        bad, well = fleet.stats()
        assert bad.requests == it.asked > 0 and well.requests == 12 and bad.retried == bad.requests
        assert bad.busy if mood == 429 else bad.failures


def test_what_one_server_refuses_no_other_is_asked(odd: tuple[str, Odd]) -> None:
    base, it = odd
    it.mood = 400
    with RemoteModel([base, base.replace("127.0.0.1", "localhost")], model="m") as fleet:
        with pytest.raises(UserError, match="mood 400") as refused:
            list(fleet.stream(asking()))
        assert refused.value.param == "seed" and it.asked == 1


def test_after_the_first_token_nothing_is_tried_again(odd: tuple[str, Odd]) -> None:
    base, it = odd
    it.mood = "break"
    with RemoteModel([base, base.replace("127.0.0.1", "localhost")], model="m") as fleet:
        events = iter(fleet.stream(asking()))
        assert isinstance(next(events), TextDelta)
        with pytest.raises(UpstreamError, match="middle of the answer"):
            list(events)
        assert it.asked == 1


def test_a_server_is_ejected_and_comes_back(odd: tuple[str, Odd], tmp_path: Path) -> None:
    base, it = odd
    with backends(tmp_path, 1) as [(good, _)], RemoteModel([base, good], model="m") as fleet:
        assert {text_of(fleet, asking(f"q{n}")) for n in range(12)} == {"Odd.", "Four."}
        it.mood = 500
        for n in range(20):
            text_of(fleet, asking(f"q{n}"))
        assert not fleet.stats()[0].up and fleet.health().trouble is None
        asked = it.asked
        for n in range(20):
            assert text_of(fleet, asking(f"q{n}")) == "Four."
        assert it.asked == asked
        it.mood = 200
        deadline = time.monotonic() + 20
        while not fleet.stats()[0].up and time.monotonic() < deadline:
            time.sleep(0.1)
        assert {text_of(fleet, asking(f"q{n}")) for n in range(12)} == {"Odd.", "Four."}


def test_nobody_there(odd: tuple[str, Odd]) -> None:
    with RemoteModel("http://127.0.0.1:9", model="m") as model, pytest.raises(UpstreamError, match="Connect"):
        model.stream(asking())
    base, it = odd
    it.mood = 429
    with RemoteModel(base) as model, pytest.raises(UpstreamError) as busy:
        list(model.stream(asking()))
    assert busy.value.status == 429 and busy.value.retry_after == 7
    with pytest.raises(UserError, match="no URL"):
        RemoteModel("localhost:80")


@contextmanager
def front(*urls: str) -> Iterator[tuple[str, RemoteModel]]:
    """What `ponder serve --engine openai` is, in this process."""
    remote = RemoteModel(urls, model="m", watch=True)
    with server({"m": lambda: remote}) as base:
        yield base, remote


def test_the_same_front_before_a_fleet(tmp_path: Path) -> None:
    """Every dialect through the proxy equals the server behind it."""
    with backends(tmp_path, 1) as [(behind, _)], front(behind) as (base, _):
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
        for path, pick in (
            ("/v1/chat/completions", lambda r: r["choices"][0]["message"]),
            ("/v1/messages", lambda r: [{k: v for k, v in b.items() if k != "id"} for b in r["content"]]),
            ("/api/chat", lambda r: (r["message"], r["eval_count"])),
        ):  # fmt: skip
            there, here = (httpx.post(url + path, json=body | {"stream": False}) for url in (behind, base))
            assert here.status_code == 200, here.text
            assert pick(here.json()) == pick(there.json())
        assert httpx.post(base + "/v1/completions", json={"prompt": "x", "max_tokens": 3}).status_code == 200
        count = {"model": "m", "messages": body["messages"]}
        assert httpx.post(base + "/v1/messages/count_tokens", json=count).json()["input_tokens"] > 3
        assert httpx.post(base + "/tokenize", json={"prompt": "x"}).status_code == 400
        assert httpx.get(base + "/health").status_code == 200
        assert f'upstream="{behind}/v1"' in httpx.get(base + "/metrics").text
        refused = httpx.post(base + "/v1/chat/completions", json=body | {"temperature": 9999})
        assert refused.status_code == 400


def test_what_a_client_of_the_front_is_told(odd: tuple[str, Odd]) -> None:
    upstream, it = odd
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with front(upstream) as (base, _):
        for mood, status in ((500, 502), (429, 429), (400, 400), ("hang-up", 503)):
            it.mood = mood
            told = httpx.post(base + "/v1/chat/completions", json=body)
            assert told.status_code == status and "error" in told.json(), told.text
            streamed = httpx.post(base + "/v1/chat/completions", json=body | {"stream": True})
            assert "error" in streamed.text
        it.mood = 200
        for _ in range(3):
            it.mood = "hang-up"
            httpx.post(base + "/v1/chat/completions", json=body)
        assert httpx.get(base + "/health").status_code == 503


def spawn(path: Path, port: int) -> "subprocess.Popen[bytes]":
    """A real `ponder serve` process."""
    return subprocess.Popen(
        [sys.executable, "-m", "ponder", "serve", f"scripted:{path}", "--port", str(port), "--log-level", "error"],
        env=os.environ | {"PONDER_HOME": str(path.parent)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url + "/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} did not come up")


def test_a_server_killed_half_way_costs_only_its_running_streams(tmp_path: Path) -> None:
    path = script(tmp_path, "s", text=" ".join(str(n * n) for n in range(40)), delay_ms=10)
    ports = [free_port(), free_port()]
    processes = [spawn(path, port) for port in ports]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    try:
        for url in urls:
            wait_for(url)
        with RemoteModel(urls, model=f"scripted:{path}") as fleet, ThreadPoolExecutor(16) as threads:
            begun = threading.Semaphore(0)

            def ask(n: int) -> str:
                said = ""
                try:
                    for event in fleet.stream(asking(f"q{n}")):
                        if isinstance(event, TextDelta):
                            if not said:
                                begun.release()
                            said += event.text
                except UpstreamError:
                    return "broken"
                return said

            first = [threads.submit(ask, n) for n in range(16)]
            for _ in range(8):
                assert begun.acquire(timeout=30)
            processes[0].send_signal(signal.SIGKILL)
            later = [threads.submit(ask, n) for n in range(16, 32)]
            whole = {f.result(60) for f in later}
            assert len(whole) == 1 and "broken" not in whole, "new requests find the server that lives"
            results = [f.result(60) for f in first]
            assert set(results) <= {"broken", *whole} and results.count("broken") < 16
            assert [s.up for s in fleet.stats()] == [False, True]
            processes[0].wait()
            processes[0] = spawn(path, ports[0])
            wait_for(urls[0])
            deadline = time.monotonic() + 40
            while not fleet.stats()[0].up and time.monotonic() < deadline:
                time.sleep(0.1)
            assert fleet.stats()[0].up
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_failing_upstream_costs_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    """The client is told, and may ask again on the same connection; the log needs no traceback for that."""
    with (
        server({"m": lambda: RemoteModel(f"http://127.0.0.1:{free_port()}", model="m", dialect="openai")}) as base,
        httpx.Client(base_url=base) as http,
    ):
        for _ in range(2):
            told = http.post("/v1/embeddings", json={"input": "x", "model": "m"})
            assert told.status_code == 503, told.text
    assert not [r for r in caplog.records if r.exc_info], caplog.text
