"""A real server on a free port, in a thread, with any models; what the client suites talk to."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from listening import listening

from ponder.agent.tools.tool import Tool, Toolset
from ponder.core.params import Thinking
from ponder.engine.llm import LLM
from ponder.server.app import build
from ponder.server.config import ServerConfig
from ponder.server.runtime.admission import Admission
from ponder.server.runtime.pool import Pool
from ponder.server.runtime.service import Service


def saying(folder: Path, replies: Mapping[str, str], times: int = 40) -> dict[str, Callable[[], LLM]]:
    """Scripted models by name, each of which says its reply again and again. folder: where the scripts go."""
    models: dict[str, Callable[[], LLM]] = {}
    for name, reply in replies.items():
        path = folder / f"{name}.jsonl"
        path.write_text((json.dumps(reply) + "\n") * times)
        models[name] = partial(LLM, f"scripted:{path}")
    return models


@contextlib.contextmanager
def server(
    models: dict[str, Callable[[], LLM]],
    config: ServerConfig | None = None,
    capacity: int = 32,
    store: Path | None = None,
    tools: Sequence[Tool | Toolset] = (),
    thinking: Thinking | None = None,
) -> Iterator[str]:
    """The base URL, e.g. http://127.0.0.1:40001. store: the web chat's file, if a test wants to look into it. tools:
    what models may use in the web chat. thinking: what holds when a request says nothing about it."""
    with serving(Pool(models, keep=len(models)), config, capacity, store, tools, thinking) as base:
        yield base


@contextlib.contextmanager
def serving(
    pool: Pool,
    config: ServerConfig | None = None,
    capacity: int = 32,
    store: Path | None = None,
    tools: Sequence[Tool | Toolset] = (),
    thinking: Thinking | None = None,
) -> Iterator[str]:
    """The same of a pool that is there."""
    config = config or ServerConfig()
    service = Service(config, pool, Admission(config, capacity), thinking or Thinking())
    with tempfile.TemporaryDirectory() as folder:
        app = build(service, store or Path(folder) / "chat.sqlite", tools)
        with listening(app, log_level="warning", lifespan="on") as base:
            yield base
