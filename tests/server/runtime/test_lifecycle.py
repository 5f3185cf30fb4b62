"""`ponder serve` as a process and as a whole: many streams, slow readers, engines that die, signals, logs, memory."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from listening import free_port
from live import server
from msgspec.structs import replace

from ponder.engine.llm import LLM
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.server.config import ServerConfig
from ponder.server.http.errors import ApiError
from ponder.server.runtime.pool import Pool
from ponder.server.runtime.watchdog import EXIT_STUCK
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

ASK = {"messages": [{"role": "user", "content": "a secret question"}]}
ENDLESS = "<think>\n" + " ".join(f"thought {i * i}" for i in range(200))


def write(folder: Path, **reply: Any) -> Path:
    path = folder / "s.jsonl"
    path.write_text(json.dumps({"text": "Yes."} | reply) + "\n")
    return path


class Process:
    """`ponder serve` of a script. `lines()` are its log."""

    def __init__(self, path: Path, *flags: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._log = path.with_suffix(".log")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ponder", "serve", f"scripted:{path}", "--port", str(port), *flags],
                env=os.environ | {"PONDER_HOME": str(path.parent)}, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(self.url + "/health")
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self._log.read_text()
                time.sleep(0.1)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def text(self) -> str:
        return self._log.read_text()


@contextmanager
def serving(path: Path, *flags: str) -> Iterator[Process]:
    process = Process(path, *flags)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that say something else for every prompt."""
    path: Path = tmp_path_factory.mktemp("tiny")
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=2048, initializer_range=0.2)
    save_hf(path, random_checkpoint(config, noisy=True), "f32")
    save(Tokenizer.packaged("qwen3"), path)
    return path


async def streamed(url: str, body: dict[str, Any]) -> tuple[str, bool]:
    """(the answer, whether it ended as it should) of one stream."""
    where = urlsplit(url)
    raw = json.dumps(body | {"stream": True}).encode()
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(raw)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode() + raw)
    whole = await reader.read()
    writer.close()
    lines = [json.loads(line[6:]) for line in whole.split(b"\n") if line.startswith(b"data: {")]
    deltas = [c["choices"][0]["delta"] for c in lines if c["choices"]]
    return "".join(d.get("content") or "" for d in deltas), whole.rstrip().endswith(b"data: [DONE]\n\n\r\n0".rstrip())


def test_200_streams_at_once_on_a_real_tiny_model(tiny_folder: Path) -> None:
    config = ServerConfig(queue=300)
    with server({"m": partial(LLM, tiny_folder)}, config) as base:
        asks = [{"messages": [{"role": "user", "content": f"number {n}"}], "max_tokens": 24, "seed": n,
                 "enable_thinking": False} for n in range(200)]  # fmt: skip

        async def all_of_them() -> list[tuple[str, bool]]:
            return await asyncio.gather(*(streamed(base, ask) for ask in asks))

        together = asyncio.run(all_of_them())
        assert all(done for _, done in together)
        for n in (0, 57, 199):
            alone = httpx.post(base + "/v1/chat/completions", json=asks[n], timeout=60).json()
            assert together[n][0] == alone["choices"][0]["message"]["content"], "the neighbours change nothing"
        assert httpx.get(base + "/health").json() == {"status": "ok", "in_flight": 0}


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_slow_reader_holds_up_nobody_and_takes_little_memory(tmp_path: Path) -> None:
    """Four clients ask for 12,000 tokens each and read nothing; one that reads gets its answer at once."""
    path = write(tmp_path, text=ENDLESS, eos=False)
    llm = LLM(f"scripted:{path}")
    with server({"s": lambda: llm}) as base:
        where = urlsplit(base)
        raw = json.dumps(ASK | {"stream": True, "max_tokens": 12_000, "thinking_budget": 11_000}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(raw)}\r\n\r\n"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sleepers = []
        for _ in range(4):
            s = socket.create_connection((where.hostname or "", where.port or 0))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(head.encode() + raw)
            sleepers.append(s)
        time.sleep(0.5)
        start = time.monotonic()
        quick = httpx.post(base + "/v1/chat/completions", json=ASK | {"max_tokens": 50}, timeout=60)
        assert quick.status_code == 200 and time.monotonic() - start < 5
        deadline = time.monotonic() + 60
        while llm.stats().running and time.monotonic() < deadline:
            time.sleep(0.2)
        assert llm.stats().running == 0, "the engine waits for no reader"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert grown < 4 * 12_000 * 400, f"{grown / 1e6:.0f} MB for readers that sleep"
        for s in sleepers:
            s.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_failed_is_seen_and_loaded_anew(tmp_path: Path) -> None:
    path = write(tmp_path)
    opened: list[LLM] = []

    def opener() -> LLM:
        opened.append(LLM(f"scripted:{path}"))
        return opened[-1]

    with server({"s": opener}) as base:
        chat = base + "/v1/chat/completions"
        assert httpx.post(chat, json=ASK).status_code == 200
        scheduler = opened[0].engine.scheduler
        plan = scheduler.plan

        def broken() -> Any:
            if scheduler.waiting:  # the thread may still be looking for work behind the first reply
                raise RuntimeError("a bug of ours")
            return plan()

        scheduler.plan = broken  # type: ignore[method-assign]
        assert httpx.post(chat, json=ASK, timeout=30).status_code == 500
        health = httpx.get(base + "/health")
        assert health.status_code == 503 and "a bug of ours" in health.text
        assert httpx.get(base + "/live").json() == {"status": "ok"}, "ready and live are two questions"
        deadline = time.monotonic() + 20
        while httpx.get(base + "/health").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert httpx.post(chat, json=ASK).status_code == 200 and len(opened) == 2


@pytest.mark.flaky(reruns=2)  # judges time
def test_requests_behind_a_stuck_engine_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponder.engine.scheduling.engine.STUCK_SECONDS", 0.3)
    path = write(tmp_path, delay_ms=3000)
    with server({"s": partial(LLM, f"scripted:{path}")}) as base:
        chat = base + "/v1/chat/completions"
        with httpx.stream("POST", chat, json=ASK | {"stream": True, "max_tokens": 1}, timeout=30) as first:
            time.sleep(1)
            start = time.monotonic()
            told = httpx.post(chat, json=ASK)
            assert told.status_code == 503 and "no step" in told.text and told.headers["retry-after"] == "5"
            assert httpx.get(base + "/health").status_code == 503 and time.monotonic() - start < 1
            assert "[DONE]" in first.read().decode()
        assert httpx.get(base + "/health").status_code == 200


def test_a_hanging_engine_ends_the_process_with_a_code(tmp_path: Path) -> None:
    path = write(tmp_path, delay_ms=60_000)
    with serving(path, "--watchdog", "1") as p:
        with pytest.raises(httpx.TransportError):
            httpx.post(p.url + "/v1/chat/completions", json=ASK, timeout=60)
        assert p.process.wait(20) == EXIT_STUCK
        assert "no step for" in p.text() and "scripted.py" in p.text(), "the stacks are shown"


@pytest.mark.flaky(reruns=2)  # judges time
def test_sigterm_drains_and_a_second_one_does_not_wait(tmp_path: Path) -> None:
    """An answer of a second comes to its end; one of minutes, with half a minute to drain, is cut off at once."""
    for signals, whole, ids in ((1, True, 150), (2, False, 30_000)):
        with serving(write(tmp_path, text="word " * ids, delay_ms=10)) as p:
            got: list[str] = []

            def ask(url: str = p.url, got: list[str] = got) -> None:
                try:
                    with httpx.stream(
                        "POST", url + "/v1/chat/completions", json=ASK | {"stream": True}, timeout=60
                    ) as r:
                        got.extend(r.iter_lines())
                except httpx.TransportError:
                    got.append("broken")

            thread = threading.Thread(target=ask)
            thread.start()
            while not any('"content":"word' in line for line in got):
                time.sleep(0.02)
            start = time.monotonic()
            for _ in range(signals):
                p.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            with pytest.raises(httpx.TransportError):
                httpx.post(p.url + "/v1/chat/completions", json=ASK, timeout=5)
            assert p.process.wait(30) == 0
            took = time.monotonic() - start
            thread.join(30)
            assert (got[-2:-1] == ["data: [DONE]"] and '"stop"' in "".join(got)) == whole, got[-3:]
            assert whole or took < 15, took


@pytest.mark.parametrize("flags", [(), ("--log-prompts",)])
def test_the_log_is_json_and_holds_prompts_only_when_asked(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with serving(write(tmp_path), *flags) as p:
        httpx.post(p.url + "/v1/chat/completions", json=ASK)
        httpx.post(p.url + "/v1/chat/completions", json={"messages": [], "stop": "another secret"})
        httpx.get(p.url + "/nowhere")
        events = {line["event"]: line for line in p.lines()}
        assert events["request"]["completion_tokens"] == 3 and events["request"]["reason"] == "stop"
        assert [x["status"] for x in p.lines() if x["event"] == "refused"] == [400, 404]
        assert ("a secret question" in p.text()) == bool(flags) and "another secret" not in p.text()


def test_models_share_a_memory_budget(tmp_path: Path) -> None:
    path, told = write(tmp_path), []
    sizes = {"a": 4, "b": 3, "c": 5, "d": 11}

    def opener(name: str) -> LLM:
        told.append(name)
        return LLM(f"scripted:{path}")

    openers = {name: partial(opener, name) for name in sizes}
    needs = {name: partial(int, size) for name, size in sizes.items()}
    pool = Pool(openers, keep=10, memory=10, needs=needs)

    def loaded() -> set[str]:
        return {s.name for s in pool.models.values() if s.llm is not None}

    async def run() -> None:
        for name in ("a", "b"):
            async with pool.use(name):
                pass
        assert loaded() == {"a", "b"}
        async with pool.use("a"):
            pass
        async with pool.use("c"):
            assert loaded() == {"a", "c"}, "b was not used for longest"
            async with pool.use("a"):
                with pytest.raises(ApiError) as full:
                    async with pool.use("b"):
                        pass
                assert full.value.status == 503 and "in use: a, c" in full.value.message
        with pytest.raises(ApiError):
            async with pool.use("d"):
                pass
        assert told == ["a", "b", "c"]
        await pool.close()

    asyncio.run(run())
