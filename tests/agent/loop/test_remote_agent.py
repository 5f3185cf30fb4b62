"""The same agent over HTTP: Ponder's own server behind Qwen-Agent's `model_server`."""

import json
import sys
from pathlib import Path

import pytest
from saying import call, thought

from ponder.agent import Assistant
from ponder.agent.loop.event import MessageAdded, RunDone
from ponder.core.event import ReasoningDelta, TextDelta
from ponder.engine.llm import LLM

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))
from live import server


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def url(tmp_path: Path):
    file = tmp_path / "script.jsonl"
    replies = [thought("I add.") + call("add", a=17, b=25), thought("Done.") + "It is 42. 你好"]
    file.write_text("\n".join(json.dumps(r) for r in replies))
    with server({"m": lambda: LLM(f"scripted:{file}")}) as base:
        yield f"{base}/v1"


def test_a_run_over_http_is_that_of_the_engine_here(url: str, scripted) -> None:
    replies = [thought("I add.") + call("add", a=17, b=25), thought("Done.") + "It is 42. 你好"]
    seen = []
    for llm in ({"model": "m", "model_server": url, "api_key": "EMPTY"}, scripted(*replies)):
        with Assistant(llm=llm, function_list=[add]) as bot:
            events = list(bot.events([{"role": "user", "content": "17 + 25?"}]))
        said = [e.message for e in events if isinstance(e, MessageAdded)]
        text = "".join(e.text for e in events if isinstance(e, TextDelta))
        reasoning = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
        end = next(e for e in events if isinstance(e, RunDone))
        calls = [(c.name, json.loads(c.arguments)) for m in said for c in m.tool_calls]
        seen.append((text, reasoning, calls, [m.text for m in said], end.reason, end.text))
    assert seen[0] == seen[1]
    assert seen[0][-1] == "It is 42. 你好"


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with Assistant(llm={"model": "m", "model_server": "http://127.0.0.1:9/v1"}, function_list=[add]) as bot:
        events = list(bot.events([{"role": "user", "content": "17 + 25?"}]))
    assert isinstance(events[-1], RunDone) and events[-1].reason == "error" and "127.0.0.1:9" in events[-1].text
