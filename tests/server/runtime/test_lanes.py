"""Threads of the server: nothing short waits behind what is long, no client takes all, and who leaves frees nothing
that still runs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from live import saying, server

from ponder.core.client import CLIENT
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig
from ponder.server.runtime.lanes import LONG, Lane


async def as_client(name: str, lane: Lane, work: partial[str]) -> str:
    CLIENT.set(name)
    return await lane.run(work)


def test_a_client_has_its_share_of_a_lane() -> None:
    gate, order = threading.Event(), []

    def work(name: str, wait: bool) -> str:
        if wait:
            gate.wait(10)
        order.append(name)
        return name

    async def main() -> None:
        lane = Lane("test", threads=2, share=1)
        bobs = [asyncio.create_task(as_client("bob", lane, partial(work, "bob", True))) for _ in range(5)]
        await asyncio.sleep(0)
        assert await as_client("alice", lane, partial(work, "alice", False)) == "alice"
        gate.set()
        assert await asyncio.gather(*bobs) == ["bob"] * 5

    asyncio.run(main())
    assert order == ["alice", *["bob"] * 5]


def test_who_leaves_waits_for_what_runs_and_its_result_is_undone() -> None:
    gate, begun, undone, ran = threading.Event(), threading.Event(), [], []

    def work(n: int) -> int:
        begun.set()
        gate.wait(10)
        ran.append(n)
        return n

    async def main() -> None:
        lane = Lane("test", threads=1, share=2)
        first = asyncio.create_task(lane.run(partial(work, 1), undone.append))
        await asyncio.to_thread(begun.wait, 10)
        second = asyncio.create_task(lane.run(partial(work, 2), undone.append))
        await asyncio.sleep(0.01)
        first.cancel()
        second.cancel()
        await asyncio.wait({second})
        assert not first.done(), "it holds its place while its thread works"
        gate.set()
        await asyncio.wait({first})
        assert first.cancelled() and second.cancelled()

    asyncio.run(main())
    assert ran == undone == [1], "what had not begun never does"


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, threading.Event, list[int]]]:
    """A server on which long prompts take as long as the event says. -> its URL, the event, lengths that were begun."""
    gate, begun, stream = threading.Event(), [], LLM.stream

    def slow(llm: LLM, request: object) -> object:
        begun.append(len(request.messages[-1].text))
        if begun[-1] > 1000:
            gate.wait(20)
        return stream(llm, request)

    monkeypatch.setattr(LLM, "stream", slow)
    with server(saying(tmp_path, {"s": "Yes."}), ServerConfig()) as base:
        yield base, gate, begun
        gate.set()


def test_a_short_chat_is_answered_while_many_long_ones_are_prepared(
    held: tuple[str, threading.Event, list[int]],
) -> None:
    base, gate, begun = held
    done: list[int] = []

    def ask(content: str) -> None:
        body = {"messages": [{"role": "user", "content": content}]}
        done.append(httpx.post(base + "/v1/chat/completions", json=body, timeout=60).status_code)

    many = [threading.Thread(target=ask, args=("word " * (LONG // 4),)) for _ in range(8)]
    for thread in many:
        thread.start()
    while not begun:
        time.sleep(0.01)
    ask("hi")
    assert done == [200], "the short one is answered first"
    gate.set()
    for thread in many:
        thread.join()
    assert done[1:] == [400] * 8
