"""Agents with a model that writes calls as plain JSON: asked again, code repaired, an answer in words."""

import asyncio
from typing import Any, ClassVar

import pytest

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.models import for_tools
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.event import TextDelta

pytestmark = pytest.mark.anyio
CALL = '{"name": "add", "arguments": {"a": 1}}'
FENCED = f"```json\n{CALL}\n```"


@pytest.mark.parametrize("text", [CALL.replace("add", "sub"), f"```json\n[{CALL.replace('add', 'sub')}]\n```"])
async def test_json_of_what_was_not_offered_is_no_call(scripted, text: str) -> None:
    """Nothing tags it as one. It is asked again without tools; that the user wanted such JSON is possible, too."""

    def add(a: int) -> int:
        """Adds one."""
        return a + 1

    for answer in ("Seven.", text):
        llm = scripted(text, answer, vocab="qwen2.5", capability="instruct")
        run = Agent(for_tools(llm), tools=[add]).start("Subtract.")
        events = [e async for e in run]
        assert (run.end.text, run.end.steps, len(run.messages)) == (answer, 1, 2)
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == answer
        assert run.end.usage.completion_tokens > len(llm.tokenizer.encode(text)), "both replies are counted"
        assert llm.tokenizer.decode(list(run.messages[1].ids)).startswith(answer)


async def test_the_second_reply_can_be_cancelled(scripted) -> None:
    def add(a: int) -> int:
        """Adds one."""
        return a + 1

    slow = {"text": "word " * 500, "delay_ms": 5}
    llm = scripted(CALL.replace("add", "sub"), slow, vocab="qwen2.5", capability="instruct")
    run = Agent(for_tools(llm), tools=[add]).start("Subtract.")
    async for event in run:
        if isinstance(event, TextDelta):
            break
    await run.cancel()
    for _ in range(100):  # a cancelled request leaves the engine's batch with its next step
        if not llm.stats().running:
            break
        await asyncio.sleep(0.01)
    assert not llm.stats().running and run.end.reason == "cancelled" and run.messages[-1].text.startswith("word")


async def test_a_call_in_tags_of_what_was_not_offered_is_a_call(scripted) -> None:
    def add(a: int) -> int:
        """Adds one."""
        return a + 1

    tagged = f"<tool_call>\n{CALL.replace('add', 'sub')}\n</tool_call>"
    llm = scripted(tagged, "No.", vocab="qwen2.5", capability="instruct")
    run = Agent(for_tools(llm), tools=[add]).start("Go.")
    await run.wait()
    assert [c.name for m in run.messages for c in m.tool_calls] == ["sub"]


async def test_in_the_loop(scripted) -> None:
    def add(a: int) -> int:
        """Adds one."""
        return a + 1

    said = ["```json\n" + CALL + "\n```", '{"answer": 2}']
    llm = scripted(*said, vocab="qwen2.5", capability="instruct")
    run = Agent(for_tools(llm), tools=[add]).start("Add.")
    events = [e async for e in run]
    assert [m.text for m in run.messages if m.role == "tool"] == ["2"] and run.end.text == '{"answer": 2}'
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == '{"answer": 2}'


async def test_plain_text_streams(scripted) -> None:
    llm = scripted("word " * 50, vocab="qwen2.5", capability="instruct")

    def nothing() -> None:
        """Does nothing."""

    deltas = [e.text async for e in Agent(for_tools(llm), tools=[nothing]).start("Go.") if isinstance(e, TextDelta)]
    assert len(deltas) > 10 and "".join(deltas).strip() == ("word " * 50).strip()


async def test_names_as_small_models_write_them(scripted) -> None:
    """A unique part of a name, a lone string for the only parameter, a tool that is not there: the loop goes on."""

    class Fetch(Tool):
        name, own_name, description = "web-fetch", "fetch", "Fetches."
        parameters: ClassVar[dict[str, Any]] = {
            "type": "object",
            "properties": {"url": {"type": "string"}},
            "required": ["url"],
        }

        async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
            return Output(f"page of {arguments['url']}")

    said = ['{"name": "fetch", "arguments": {"url": "a"}}', '{"name": "Web_Fetch", "arguments": "b"}',
            '{"name": "we", "arguments": {}}', "Done."]  # fmt: skip
    llm = scripted(*said, vocab="qwen2.5", capability="instruct")
    run = Agent(for_tools(llm), tools=[Fetch()]).start("Go.")
    await run.wait()
    results = [m.text for m in run.messages if m.role == "tool"]
    assert results[:2] == ["page of a", "page of b"] and "no tool named 'we'" in results[2]
    assert [c.name for m in run.messages for c in m.tool_calls] == ["web-fetch", "web-fetch", "we"]
    assert run.end.text == "Done."


async def test_words_behind_a_call_end_the_turn(scripted) -> None:
    """They tell results that nobody has yet; the next prompt has the call in the template's form, and not they."""

    def add(a: int) -> int:
        """Adds one."""
        return a + 1

    made_up = " ".join(["The result of adding will be 7, as everybody can see."] * 40)
    llm = scripted(
        {"text": f"{FENCED}\n\n{made_up}", "delay_ms": 1}, "It is 2.", vocab="qwen2.5", capability="instruct"
    )
    run = Agent(for_tools(llm), tools=[add]).start("Add.")
    events = [e async for e in run]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "It is 2."
    assert run.end.usage.completion_tokens < 100, "the rest was not waited for"
    prompt = llm.tokenizer.decode(llm.render(run.messages[:-1], tools=[]).ids)
    assert '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>' in prompt and "```" not in prompt


@pytest.mark.parametrize("text", [f"```json\n{{}}\n```\n{'word ' * 50}", f"```python\nx = 1\n```\n{'word ' * 50}"])
async def test_a_fence_without_calls_passes_when_words_follow(scripted, text: str) -> None:
    def nothing() -> None:
        """Does nothing."""

    llm = scripted(text, vocab="qwen2.5", capability="instruct")
    deltas = [e.text async for e in Agent(for_tools(llm), tools=[nothing]).start("Go.") if isinstance(e, TextDelta)]
    assert len(deltas) > 10 and "".join(deltas).strip() == text.strip()


async def test_an_answer_is_in_words(scripted) -> None:
    """A call where none is possible is no answer: asked once more, without tools, the model answers."""

    def add(a: int) -> int:
        """Adds one."""
        return a + 1

    llm = scripted(CALL, FENCED, "It is 2.", vocab="qwen2.5", capability="instruct")
    agent = Agent(for_tools(llm), tools=[add], limits=Limits(steps=1))
    run = agent.start("Add.")
    events = [e async for e in run]
    assert (run.end.reason, run.end.text) == ("max_steps", "It is 2.")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "It is 2."
    llm = scripted(CALL, FENCED, FENCED, vocab="qwen2.5", capability="instruct")
    run = Agent(for_tools(llm), tools=[add], limits=Limits(steps=1)).start("Add.")
    assert "```" in (await run.wait()).text, "without tools it is text like any other"


class Interpreter(Tool):
    name, description = "code_interpreter", "Runs code."
    parameters: ClassVar[dict[str, Any]] = {
        "type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]
    }  # fmt: skip

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        self.ran.append(arguments["code"])
        failed = "1 / 0" in arguments["code"]
        text = 'Traceback:\n  File "Cell In[1]", line 1\nZeroDivisionError: division by zero' if failed else "7"
        return Output(text, error=failed)


async def test_mended_code_is_run_and_other_code_is_not(scripted) -> None:
    tool = Interpreter()
    first = '{"name": "code_interpreter", "arguments": {"code": "1 / 0"}}'
    mended = "That fails. This part:\n```python\n1 / 1\n```\nAll of it:\n```python\nx = 7\nx\n```\nIt will print 7."
    shown = "It is 7, by this code:\n```python\nx = 7\n```"
    llm = scripted(first, mended, shown, vocab="qwen2.5", capability="instruct")
    run = Agent(for_tools(llm), tools=[tool]).start("Go.")
    assert (await run.wait()).text == shown
    assert tool.ran == ["1 / 0", "x = 7\nx\n"]
    asked = scripted(shown, vocab="qwen2.5", capability="instruct")
    assert (await Agent(for_tools(asked), tools=[tool]).start("Show me code.").wait()).text == shown
    assert len(tool.ran) == 2


async def test_a_call_that_cannot_be_read_is_asked_for_again(scripted) -> None:
    tool = Interpreter()
    broken = '{"name": "code_interpreter", "arguments": {"code": "print("a")"'
    llm = scripted(broken, '{"name": "code_interpreter", "arguments": {"code": "7"}}', "7.", vocab="qwen2.5",
                   capability="instruct")  # fmt: skip
    run = Agent(for_tools(llm), tools=[tool]).start("Go.")
    assert (await run.wait()).text == "7." and tool.ran == ["7"]
    assert "not well formed" in next(m.text for m in run.messages if m.role == "tool")
