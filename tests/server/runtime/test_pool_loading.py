"""A model that is slow to load, and callers that do not wait for it."""

import asyncio
import time
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.server.runtime.pool import Pool


def test_callers_that_leave_do_not_begin_a_second_load(tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text('{"text": "hi"}')
    opened: list[LLM] = []

    def slow() -> LLM:
        time.sleep(0.3)
        opened.append(LLM(f"scripted:{script}"))
        return opened[-1]

    async def run() -> None:
        pool = Pool({"slow": slow})

        async def use() -> None:
            async with pool.use(None):
                pass

        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(use(), 0.05)
        await asyncio.gather(use(), use())
        assert len(opened) == 1 and pool.models["slow"].users == 0
        await pool.close()

    asyncio.run(run())


def test_a_load_that_fails_is_tried_anew() -> None:
    calls: list[int] = []

    def broken() -> LLM:
        calls.append(1)
        raise UserError("no such file")

    async def run() -> None:
        pool = Pool({"broken": broken})
        for n in (1, 2):
            with pytest.raises(UserError, match="no such file"):
                async with pool.use(None):
                    pass
            assert len(calls) == n

    asyncio.run(run())
