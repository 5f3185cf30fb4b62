"""Calls written as plain JSON are calls; anything else stays text."""

import json
from typing import Any, ClassVar

import pytest

from ponder.agent.agent import Agent
from ponder.agent.json_calls import JsonCallModel, read_calls
from ponder.agent.tool import Output, Place, Tool
from ponder.core.event import TextDelta

pytestmark = pytest.mark.anyio
CALL = '{"name": "add", "arguments": {"a": 1}}'
FENCED = f"```json\n{CALL}\n```"


@pytest.mark.parametrize(
    "text",
    [CALL, f"```json\n{CALL}\n```", f"```\n{CALL}\n```", f"<tools>\n{CALL}\n</tools>", f"  {CALL}\n", f"[{CALL}]",
     f"```json\n{CALL}\n```\n", f"```json\n{CALL}", CALL[:-1] + ', "result": 2}',
     '{"name": "add", "arguments": "{\\"a\\": 1}"}'],
)  # fmt: skip
def test_one_call(text: str) -> None:
    (call,) = read_calls(text, {"add"})
    assert call.name == "add" and json.loads(call.arguments) == {"a": 1}


@pytest.mark.parametrize(
    "text", [f"{CALL}\n{CALL}", f"```json\n{CALL}\n```\n```json\n{CALL}\n```", f"[{CALL}, {CALL}]"]
)
def test_two_calls(text: str) -> None:
    assert len(read_calls(text, {"add"})) == 2


@pytest.mark.parametrize(
    "text",
    ["", "{}", f"Here it is:\n{FENCED}", '{"name": "sub", "arguments": {}, "x": 1}', CALL + " done", "```json\n{",
     '{"name": "sub", "arguments": "1"}', '{"name": "", "arguments": {}}', "[1, 2]", '{"name": "add"}',
     "[" * 5000, '{"a": 1}'],
)  # fmt: skip
def test_no_call(text: str) -> None:
    assert read_calls(text, {"add"}) == []


async def test_in_the_loop(scripted) -> None:
    def add(a: int) -> int:
        """Adds one."""
        return a + 1

    said = ["```json\n" + CALL + "\n```", '{"answer": 2}']
    llm = scripted(*said, vocab="qwen2.5", capability="instruct")
    run = Agent(JsonCallModel(llm), tools=[add]).start("Add.")
    events = [e async for e in run]
    assert [m.text for m in run.messages if m.role == "tool"] == ["2"] and run.end.text == '{"answer": 2}'
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == '{"answer": 2}'


async def test_plain_text_streams(scripted) -> None:
    llm = scripted("word " * 50, vocab="qwen2.5", capability="instruct")

    def nothing() -> None:
        """Does nothing."""

    deltas = [e.text async for e in Agent(JsonCallModel(llm), tools=[nothing]).start("Go.") if isinstance(e, TextDelta)]
    assert len(deltas) > 10 and "".join(deltas).strip() == ("word " * 50).strip()


def test_code_between_pythons_quotes() -> None:
    text = '```json\n{"name": "run", "arguments": {"code": """\nprint("a")\nprint(\'b\')\n"""}}\n```'
    (call,) = read_calls(text, {"run"})
    assert json.loads(call.arguments) == {"code": "print(\"a\")\nprint('b')\n"}


def test_code_with_true_line_ends_and_fences() -> None:
    """Neither is JSON as the standard has it; both are what small models write."""
    code = "```python\nprint('a')\n```"
    for text in (
        '```json\n{"name": "run", "arguments": {"code": "' + code + '"}}\n```',
        json.dumps({"name": "run", "arguments": code}),
    ):
        (call,) = read_calls(text, {"run"})
        assert "print('a')" in call.arguments


async def test_names_as_small_models_write_them(scripted) -> None:
    """A unique part of a name, a lone string for the only parameter, a tool that is not there: the loop goes on."""

    class Fetch(Tool):
        name, own_name, description = "web-fetch", "fetch", "Fetches."
        parameters: ClassVar[dict[str, Any]] = {
            "type": "object",
            "properties": {"url": {"type": "string"}},
            "required": ["url"],
        }

        async def call(self, arguments: dict[str, Any], place: Place) -> Output:
            return Output(f"page of {arguments['url']}")

    said = ['{"name": "fetch", "arguments": {"url": "a"}}', '{"name": "Web_Fetch", "arguments": "b"}',
            '{"name": "draw", "arguments": {}}', "Done."]  # fmt: skip
    llm = scripted(*said, vocab="qwen2.5", capability="instruct")
    run = Agent(JsonCallModel(llm), tools=[Fetch()]).start("Go.")
    await run.wait()
    results = [m.text for m in run.messages if m.role == "tool"]
    assert results[:2] == ["page of a", "page of b"] and "no tool named 'draw'" in results[2]
    assert [c.name for m in run.messages for c in m.tool_calls] == ["web-fetch", "web-fetch", "draw"]
    assert run.end.text == "Done."
