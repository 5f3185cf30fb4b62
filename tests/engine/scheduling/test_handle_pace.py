"""Reading at a pace: nothing is lost, the first piece and the end do not wait, several choices keep their order."""

import asyncio
import json
import threading
import time
from pathlib import Path

from ponder.core.event import Event, Finish, TextDelta
from ponder.core.message import Message
from ponder.core.params import SamplingParams
from ponder.core.request import ChatRequest
from ponder.engine.llm import LLM


def script(folder: Path, text: str, delay_ms: float) -> str:
    path = folder / "s.jsonl"
    path.write_text(json.dumps({"text": text, "delay_ms": delay_ms}) + "\n")
    return f"scripted:{path}"


async def read(llm: LLM, pace: float, n: int = 1) -> tuple[list[list[tuple[int, Event]]], list[float]]:
    """The batches of one request and when they came."""
    request = ChatRequest(messages=(Message.user("hi"),), sampling=SamplingParams(n=n))
    batches, times, start = [], [], time.monotonic()
    async for batch in llm.stream(request).abatches(pace):
        batches.append(batch)
        times.append(time.monotonic() - start)
    return batches, times


def test_a_pace_joins_what_came_and_delays_neither_beginning_nor_end(tmp_path: Path) -> None:
    words = "one two three four five six seven eight nine ten"
    with LLM(script(tmp_path, words, 10)) as llm:
        asyncio.run(read(llm, 0))
        batches, times = asyncio.run(read(llm, 60.0))
        assert len(batches) == 2, "the first id, and all the rest at the end, which did not wait for the minute"
        assert times[0] < 5 and times[-1] < 10
        assert "".join(e.text for b in batches for _, e in b if isinstance(e, TextDelta)) == words
        assert isinstance(batches[-1][-1][1], Finish)


def test_several_choices_at_a_pace(tmp_path: Path) -> None:
    with LLM(script(tmp_path, "a b c d e f", 5)) as llm:
        batches, _ = asyncio.run(read(llm, 0.02, n=3))
        for choice in range(3):
            own = [e for b in batches for c, e in b if c == choice]
            assert "".join(e.text for e in own if isinstance(e, TextDelta)) == "a b c d e f"
            assert [type(e) for e in own].count(Finish) == 1 and isinstance(own[-1], Finish)


def test_an_engine_that_is_just_starting_is_not_taken_for_dead(tmp_path: Path) -> None:
    """Its thread goes when it is idle and comes with the next request, while others ask how it is."""
    wrong: list[str] = []
    over = threading.Event()

    def ask(llm: LLM) -> None:
        while not over.is_set():
            if (trouble := llm.health().trouble) is not None:
                wrong.append(trouble)

    for _ in range(30):
        with LLM(script(tmp_path, "a", 0)) as llm:
            over.clear()
            threads = [threading.Thread(target=ask, args=[llm]) for _ in range(3)]
            for thread in threads:
                thread.start()
            llm.chat("hi")
            over.set()
            for thread in threads:
                thread.join()
    assert not wrong
