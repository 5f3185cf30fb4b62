"""Qwen-Agent's `Assistant`, over the scripted engine: its arguments, its messages, its ways to write a tool."""

import gc
import json
import threading
from itertools import pairwise

import pytest
from saying import call, thought

from ponder.agent import Assistant, BaseTool, register_tool
from ponder.agent.loop.event import CallDone, RunDone
from ponder.agent.loop.models import chat_model
from ponder.agent.tools.tool import Output, Tool, ToolContext, Toolset
from ponder.core.errors import UserError


@register_tool("test_weather", allow_overwrite=True)
class Weather(BaseTool):
    description = "Tells the weather."
    parameters = [{"name": "city", "type": "string", "description": "which", "required": True},  # noqa: RUF012
                  {"name": "unit", "type": "string"}]  # fmt: skip

    def call(self, params: str, **kwargs):
        city = json.loads(params)["city"]
        return {"city": city, "sky": "blue"}


class Opened(Toolset):
    """Tells when it is open."""

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def tools(self) -> list[Tool]:
        return []

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1


def ask(bot: Assistant, text: str) -> list[list[dict]]:
    return [list(responses) for responses in bot.run(messages=[{"role": "user", "content": text}])]


def test_the_published_loop(scripted) -> None:
    llm = scripted(thought("Look.") + call("test_weather", city="Köln"), thought("So.") + "It is blue.")
    with Assistant(llm=llm, function_list=["test_weather"], name="bot") as bot:
        seen = ask(bot, "Weather?")
    final = seen[-1]
    assert [m["role"] for m in final] == ["assistant", "assistant", "function", "assistant"]
    assert final[0]["reasoning_content"] == "Look." and final[1]["function_call"]["name"] == "test_weather"
    assert json.loads(final[2]["content"]) == {"city": "Köln", "sky": "blue"} and final[2]["name"] == "test_weather"
    assert final[3]["content"] == "It is blue." and final[3]["name"] == "bot"
    assert final[2]["extra"]["function_id"] == final[1]["extra"]["function_id"]
    texts = [s[-1]["content"] for s in seen if s[-1]["role"] == "assistant" and len(s) == 4]
    assert all(b.startswith(a) for a, b in pairwise(texts)), "the answer grows"


def test_responses_are_the_next_history(scripted) -> None:
    """As in Qwen-Agent: messages.extend(responses), and on."""
    llm = scripted(call("test_weather", city="Rome"), "Blue.", "I said: blue.")
    seen: list = []
    inner = llm.stream
    llm.stream = lambda request: (seen.append(request), inner(request))[1]
    with Assistant(llm=llm, function_list=["test_weather"]) as bot:
        messages = [{"role": "user", "content": "Weather?"}]
        messages.extend(bot.run_nonstream(messages=messages))
        messages.append({"role": "user", "content": "What did you say?"})
        assert bot.run_nonstream(messages=messages)[-1]["content"] == "I said: blue."
    last = seen[-1].messages
    assert [m.role for m in last] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert last[2].tool_calls[0].id == last[3].parts[0].call_id


def test_tools_of_every_kind(scripted) -> None:
    def plain(n: int) -> int:
        """Doubles."""
        return 2 * n

    class Own(Tool):
        name, description = "own", "Own."

        def __init__(self) -> None:
            self.parameters = {"type": "object", "properties": {}}

        async def call(self, arguments: dict, context: ToolContext) -> Output:
            return Output("own")

    llm = scripted(call("plain", n=2) + "\n" + call("own") + "\n" + call("calculator", expression="2*3"), "Done.")
    tools = [plain, Own(), "calculator", {"name": "current_time"}, Weather()]
    with Assistant(llm=llm, function_list=tools) as bot:
        events = list(bot.events([{"role": "user", "content": "Go."}]))
    assert sorted(e.output.text for e in events if isinstance(e, CallDone)) == ["4", "6", "own"]
    assert isinstance(events[-1], RunDone) and bot.last.end is events[-1]


def test_settings_come_from_generate_cfg(scripted) -> None:
    llm = scripted("x")
    seen: list = []
    inner = llm.stream
    llm.stream = lambda request: (seen.append(request), inner(request))[1]
    for cfg in ({"enable_thinking": False, "thinking_budget": None, "top_p": 0.5, "max_llm_calls": 3, "stop": ["."]},
                {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}, "top_p": 0.5}}):  # fmt: skip
        bot = Assistant(llm=llm)
        from ponder.agent.compat.qwen_agent import settings

        sampling, thinking, _ = settings(cfg)
        bot.agent.sampling, bot.agent.thinking = sampling, thinking
        with bot:
            ask(bot, "Go.")
        assert seen[-1].thinking.enabled is False and seen[-1].sampling.top_p == 0.5
    assert settings({"max_llm_calls": 3})[2] == {"steps": 3}
    with pytest.raises(UserError, match="tempreature"):
        settings({"tempreature": 1})


def test_leaving_the_loop_early_stops_the_run(scripted) -> None:
    llm = scripted({"text": "word " * 2000, "delay_ms": 2})
    with Assistant(llm=llm) as bot:
        for n, _ in enumerate(bot.run(messages=[{"role": "user", "content": "Go."}])):
            if n == 3:
                break
        gc.collect()
        assert bot.last.end.reason == "cancelled"


def test_tool_sets_stay_open_between_runs_and_are_closed_once(scripted) -> None:
    tools = Opened()
    bot = Assistant(llm=scripted("a", "b"), function_list=[tools])
    ask(bot, "1")
    ask(bot, "2")
    assert (tools.opened, tools.closed) == (1, 0)
    bot.close()
    bot.close()
    assert (tools.opened, tools.closed) == (1, 1)
    assert not [t for t in threading.enumerate() if t.name == "ponder-agents"]


def test_an_assistant_that_nobody_holds_closes_itself(scripted) -> None:
    tools = Opened()
    bot = Assistant(llm=scripted("a"), function_list=[tools])
    ask(bot, "1")
    del bot
    gc.collect()
    assert tools.closed == 1


def test_documents(scripted, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("The password of the pool is swordfish.")
    llm = scripted(call("doc_search", query="password pool"), "swordfish")
    with Assistant(llm=llm, files=[str(tmp_path / "a.txt")]) as bot:
        assert "swordfish" in ask(bot, "What is it?")[-1][-2]["content"]


def test_attached_files_lie_in_the_workspace(scripted, tmp_path) -> None:
    """Folders are not copied. What the model did to its copy stays, and the search finds the original."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "real.csv").write_text("month,downloads")
    (tmp_path / "a.csv").symlink_to("real.csv")
    read, write = call("read_file", name="a.csv"), call("write_file", name="a.csv", content="mine")
    llm = scripted(read, write, "Done.", call("doc_search", query="downloads"), "Done.")
    files = [str(tmp_path / "a.csv"), str(tmp_path / "notes")]
    with Assistant(llm=llm, function_list=["files"], files=files, workspace=tmp_path / "work") as bot:
        *_, first = bot.run([{"role": "user", "content": "Go."}], conversation="one")
        assert "month,downloads" in first[1]["content"]
        copy = tmp_path / "work" / "one" / "a.csv"
        assert copy.read_text() == "mine" and sorted(p.name for p in copy.parent.iterdir()) == ["a.csv"]
        *_, last = bot.run([{"role": "user", "content": "Again."}], conversation="one")
        assert "[1] a.csv\nmonth,downloads" in last[-2]["content"] and "[2]" not in last[-2]["content"]
        assert copy.read_text() == "mine" and (tmp_path / "real.csv").read_text() == "month,downloads"


@pytest.mark.parametrize(
    ("tools", "why"),
    [(["nope"], "no tool 'nope'"), ([{"name": "calculator", "x": 1}], "calculator"), ([3], "is no tool")],
)
def test_what_is_no_tool(scripted, tools: list, why: str) -> None:
    with pytest.raises(UserError, match=why):
        Assistant(llm=scripted("x"), function_list=tools)


def test_what_is_no_model() -> None:
    with pytest.raises(UserError, match="dashscope"):
        chat_model({"model": "qwen-max", "model_server": "dashscope"})
    with pytest.raises(ValueError, match="qwen3:9b"):
        chat_model("qwen3:9b")


def test_instructions_of_both_sides(scripted) -> None:
    bot = Assistant(llm=scripted("a", "b", "c"), system_message="Own.")
    with bot:
        bot.run_nonstream([{"role": "system", "content": "Caller's."}, {"role": "user", "content": "1"}])
        assert bot.last.messages[0].text == "Own.\n\nCaller's."
        bot.run_nonstream([*bot.last.messages, {"role": "user", "content": "2"}])
        assert bot.last.messages[0].text == "Own.\n\nCaller's."
        ask(bot, "3")
        assert bot.last.messages[0].text == "Own."
