"""Agents over the scripted engine: the loop, the template, the parser and the cache are the real ones."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ponder.engine.llm import LLM


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., LLM]]:
    """scripted(reply, reply, ..., context=...) -> an LLM that says them one after another."""
    made: list[LLM] = []

    def make(*replies: str | dict[str, Any], **model: Any) -> LLM:
        file = tmp_path / f"script{len(made)}.jsonl"
        lines = [json.dumps({"model": model})] if model else []
        file.write_text("\n".join([*lines, *(json.dumps(r if isinstance(r, dict) else {"text": r}) for r in replies)]))
        made.append(LLM(f"scripted:{file}"))
        return made[-1]

    yield make
    for llm in made:
        llm.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
