"""LC-6: how much of a long prompt has been read is told until the reply begins, and never after."""

import asyncio
import json
from pathlib import Path

from ponder.core.event import Finish
from ponder.core.protocol import PromptProgress
from ponder.engine.llm import LLM
from ponder.engine.scheduling.handle import Handle


def test_how_far_a_prompt_is_read(tmp_path: Path) -> None:
    with scripted(tmp_path) as llm:
        first = llm.generate_stream("word " * 1500, max_tokens=3)
        told = list(first.reading(0.02))
        assert len(told) > 3 and told == sorted(set(told))
        assert all(p.total == len(first.prompt_ids()) and p.cached == 0 and p.processed % 128 == 0 for p in told)
        assert list(first.reading(0.001)) == [], "it has begun"
        assert [*first] and list(first.reading(0.001)) == [], "it has ended"
        known = [*llm.generate_stream("word " * 3000, max_tokens=3).reading(0.02)]
        assert known and all(1400 < p.cached <= p.processed for p in known)


def test_reading_and_leaving(tmp_path: Path) -> None:
    """Whoever stops to listen while the prompt is read can still cancel, and is told of the end."""
    with scripted(tmp_path) as llm:

        async def left() -> Handle:
            handle = llm.generate_stream("word " * 2000, max_tokens=5)
            async for progress in handle.areading(0.02):
                assert isinstance(progress, PromptProgress)
                handle.cancel()
            (batch,) = [b async for b in handle.abatches(0)]
            last = batch[-1][1]
            assert isinstance(last, Finish) and last.reason == "cancelled"
            return handle

        assert asyncio.run(left()).timings().generated == 0
        assert llm.stats().running == llm.stats().waiting == 0


def scripted(folder: Path) -> LLM:
    path = folder / "s.jsonl"
    path.write_text(json.dumps({"model": {"read_ms": 0.5}}) + '\n"Yes."\n')
    return LLM(f"scripted:{path}", chunk=128)
