"""Agents for who waits: `run`, `run_sync`, an answer as a value, a model by its name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from saying import call, thought

from ponder.agent import Agent
from ponder.core.errors import UserError
from ponder.core.message import Message


@dataclass
class Sum:
    value: int
    exact: bool


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def script(folder: Path, *replies: str) -> str:
    file = folder / "s.jsonl"
    lines: list[dict[str, Any]] = [{"model": {}}, *({"text": text} for text in replies)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"scripted:{file}"


def test_run_sync_by_name(tmp_path: Path) -> None:
    agent = Agent(script(tmp_path, thought("I add.") + call("add", a=17, b=25), "It is 42.", "Bye."), tools=[add])
    result = agent.run_sync("What is 17 + 25?")
    assert (result.text, str(result), result.reason, result.parsed) == ("It is 42.", "It is 42.", "answered", None)
    assert [c.name for c in result.tool_calls] == ["add"] and result.usage.completion_tokens > 0
    assert repr(result) == "AgentResult('It is 42.', answered, 2 steps, 1 calls)"
    again = agent.run_sync([*result.messages, Message.user("Thanks")])
    assert (again.text, len(again.messages)) == ("Bye.", len(result.messages) + 2)


def test_an_answer_as_a_value_after_calls(tmp_path: Path) -> None:
    """The answer keeps to the form, calls before it are free."""
    name = script(tmp_path, call("add", a=17, b=25), '{"value": 42, "exact": true}')
    assert Agent(name, tools=[add]).run_sync("17 + 25?", output=Sum).parsed == Sum(42, True)


def test_a_run_without_an_answer_has_no_value(tmp_path: Path) -> None:
    agent = Agent(script(tmp_path, "x"), tools=[add])
    result = agent.run_sync([Message.user("word " * 60_000)], output=Sum)
    assert result.reason == "error"
    with pytest.raises(UserError, match="not the JSON that was asked for, the run ended with 'error'"):
        _ = result.parsed


def test_a_name_that_is_no_model_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no model at"):
        Agent(str(tmp_path / "nothing"))


@pytest.mark.anyio
async def test_run_inside_an_event_loop(tmp_path: Path) -> None:
    agent = Agent(script(tmp_path, "Hi."))
    assert (await agent.run("Hello")).text == "Hi."
    with pytest.raises(UserError, match=r"await agent\.run"):
        agent.run_sync("Hello")
