"""The page while a model acts: scripted calls of real tools, as steps; approvals; stop; restarts while a call waits."""

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from live import server
from pages import Chat, Site, eventually
from sample_steps import a_call, seeded
from small_tools import Add, Count, Draw, Fail, WriteNote

from ponder.agent.tools.code_interpreter import CodeInterpreter
from ponder.agent.tools.tool import Tool, Toolset
from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig


def calls(*each: tuple[str, dict[str, Any]], thought: str = "I need a tool.") -> str:
    made = "\n".join(f"<tool_call>\n{json.dumps({'name': n, 'arguments': a})}\n</tool_call>" for n, a in each)
    return f"<think>\n{thought}\n</think>\n\n{made}"


def answer(text: str) -> str:
    return f"<think>\nThat is it.\n</think>\n\n{text}"


CODE = """import matplotlib.pyplot as plt
open("data.csv", "w").write("x,y\\n1,1\\n2,4\\n")
plt.plot([1, 2, 3], [1, 4, 9])
plt.title("squares")
print("plotted", 6 * 7)
"""
MODELS = {
    "worker": [
        calls(("add", {"a": 17, "b": 25}), ("draw", {}), ("fail", {})), calls(("nonsense", {})),
        answer("It is **42**."), answer("As I said, 42."),
    ],
    "writer": [calls(("write_note", {"text": "hello"})), answer("Done.")],
    "coder": [calls(("code_interpreter", {"code": CODE})), answer("See the chart.")],
    "counter": [calls(("count", {})), answer("Counted.")],
}  # fmt: skip


@contextmanager
def agents(folder: Path) -> Iterator[Site]:
    models = {}
    for name, replies in MODELS.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(text) for text in replies))
        models[name] = partial(LLM, f"scripted:{folder / name}.jsonl")
    tools: list[Tool | Toolset] = [Add(), Draw(), WriteNote(), Count(), Fail()]
    if importlib.util.find_spec("ipykernel") and importlib.util.find_spec("matplotlib"):
        tools.append(CodeInterpreter())
    with server(models, ServerConfig(linger=1), store=folder / "chat.sqlite", tools=tools) as url:
        yield Site(url, folder / "chat.sqlite")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with agents(tmp_path_factory.mktemp("agents")) as site:
        yield site


def test_calls_and_results_are_steps(chat: Chat) -> None:
    chat.answered("What is 17 + 25?", "worker")
    steps = chat.stored()["messages"][-1]["steps"]
    assert [s["kind"] for s in steps] == ["thought", "call", "call", "call", "thought", "call", "thought", "text"]
    add, draw, fail, nonsense = (s for s in steps if s["kind"] == "call")
    assert (add["state"], add["output"]) == ("done", "42") and draw["images"][0]["name"] == "square.png"
    assert fail["state"] == nonsense["state"] == "failed" and "no tool named" in nonsense["output"]
    assert chat.page.locator(".step").count() == 4 and chat.page.locator(".reasoning").count() == 3
    assert chat.page.evaluate("document.querySelector('.step img').naturalWidth") == 16
    failed = chat.page.locator(".step.failed").first
    failed.locator("summary").click()
    assert "<b>network</b>" in failed.locator(".output").inner_text(), "text, not HTML"
    assert chat.last.locator(".answer").inner_text() == "It is 42."
    assert "tokens" in chat.last.locator(".facts").inner_text()
    heads = chat.page.locator(".message.assistant .body summary, .message.assistant .answer")
    before = heads.all_inner_texts()
    chat.page.reload()
    eventually(lambda: heads.all_inner_texts() == before)
    assert chat.answered("Sure?") == "As I said, 42."
    export = chat.site.text(f"/web/conversations/{chat.id}/export?format=md")
    assert "Tool call: add (done)" in export and "It is **42**." in export


def test_without_tools_there_are_none(chat: Chat) -> None:
    chat.page.click("#open-settings")
    assert set(chat.page.locator("#tool-list li").all_inner_texts()) >= {"add", "draw", "write_note", "count", "fail"}
    chat.page.uncheck("#use-tools")
    shown = chat.answered("Write.", "writer")
    assert "write_note" in shown, "a call that nothing was offered for is text"
    assert chat.page.locator(".step").count() == 0
    chat.page.check("#use-tools")
    chat.answered("Never mind", "writer")  # the script's second line: now the first is next again


@pytest.mark.parametrize("decision", ["once", "deny"])
def test_a_call_asks_first(chat: Chat, decision: str) -> None:
    chat.ask("Write it down.", "writer")
    chat.page.wait_for_selector(".step.waiting .approval")
    assert "May this run?" in chat.text(".approval") and "Writes a note" in chat.text(".approval")
    assert "hello" in chat.text(".step .given"), "one sees what it would do"
    workspace = chat.site.store.parent / "workspaces" / chat.id / "note.txt"
    assert not workspace.exists()
    chat.page.get_by_role("button", name="Allow once" if decision == "once" else "Deny").click()
    chat.page.wait_for_selector(".step.done .diff .new" if decision == "once" else ".step.denied")
    chat.page.wait_for_selector("text=Done.")
    chat.done()
    assert workspace.exists() == (decision == "once")
    assert chat.page.locator(".approval").count() == 0
    step = next(s for s in chat.stored()["messages"][-1]["steps"] if s["kind"] == "call")
    assert step["state"] == ("done" if decision == "once" else "denied")


def test_always_is_asked_once_in_a_conversation(chat: Chat) -> None:
    chat.ask("Write it down.", "writer")
    chat.page.get_by_role("button", name="Always allow").click()
    chat.page.wait_for_selector("text=Done.")
    chat.done()
    chat.answered("Again.")
    assert chat.page.locator(".step.done").count() == 2
    chat.page.click("#new")
    chat.ask("And elsewhere?", "writer")
    chat.page.wait_for_selector(".step.waiting")
    chat.page.get_by_role("button", name="Deny").click()
    chat.page.wait_for_selector("text=Done.")
    chat.done()


def test_a_question_that_is_passed_over_and_a_deletion(chat: Chat, site: Site) -> None:
    """A stored question is left alone: the next message is answered all the same. Deleting takes the files along."""
    waiting = a_call("call_1", "write_note", "waiting", arguments='{"text": "x"}', note="Writes a note.")
    chat.page.goto(f"{site.url}/#{seeded(site, [waiting])}")
    chat.page.wait_for_selector(".step.waiting .approval")
    chat.page.select_option("#model", "counter")
    chat.ask("Never mind, count.")
    chat.page.wait_for_selector(".step.running .state:has-text('of 200')")
    chat.page.click("#stop")
    chat.done()
    assert chat.page.locator(".step.waiting").count() == 1, "it can still be answered"
    chat.answered("Well?")
    workspace = site.store.parent / "workspaces" / chat.id
    assert workspace.exists()
    chat.page.locator("#list li.current").get_by_label("Delete").click()
    chat.page.click("dialog button.primary")
    chat.page.wait_for_selector(".empty")
    eventually(lambda: not workspace.exists())


def test_progress_and_stop_in_a_tool(chat: Chat, site: Site) -> None:
    chat.ask("Count.", "counter")
    chat.page.wait_for_selector(".step.running .state:has-text('of 200')")
    chat.page.click("#stop")
    eventually(lambda: site.in_flight() == 0, 1)
    chat.page.wait_for_selector(".step.failed")
    chat.done()
    assert "Stopped." in chat.last.inner_text()
    chat.answered("Well?", "counter")  # the second line of the script


def test_the_code_interpreter_draws(chat: Chat, site: Site) -> None:
    told = site.get("/web/models")
    if "code_interpreter" not in [tool["name"] for tool in told["tools"]]:
        pytest.skip(f"no code interpreter here: {told['warnings'] or 'needs ipykernel and matplotlib'}")
    chat.answered("Plot the squares.", "coder")
    step = next(s for s in chat.stored()["messages"][-1]["steps"] if s["kind"] == "call")
    assert step["state"] == "done" and "plotted 42" in step["output"] and "+2,4" in step["diff"]
    assert chat.page.evaluate("document.querySelector('.step img').naturalWidth") > 200
    assert "+2,4" in chat.text(".step .diff") and "import matplotlib" in chat.text(".step .given")


def test_a_call_waits_through_reloads_and_restarts(browser: Any, tmp_path: Path) -> None:
    """Nobody looks, the server ends and starts again: the call still waits, and goes on as decided."""
    with agents(tmp_path) as site, Chat.visit(browser, site) as chat:
        chat.ask("Write it down.", "writer")
        chat.page.wait_for_selector(".step.waiting")
        id_ = chat.id
        chat.page.goto("about:blank")
        chat.page.wait_for_timeout(1500)  # longer than the server lingers
        assert site.in_flight() == 0, "what waits for a person holds nothing"
        chat.page.goto(f"{site.url}/#{id_}")
        chat.page.wait_for_selector(".step.waiting .approval")
        chat.problems.clear()
    with agents(tmp_path) as site, Chat.visit(browser, site, f"/#{id_}") as chat:
        chat.page.wait_for_selector(".step.waiting .approval")
        assert site.in_flight() == 0
        # the scripts begin again: the one reply that is left to say is the second
        chat.page.select_option("#model", "worker")
        chat.page.get_by_role("button", name="Allow once").click()
        chat.page.wait_for_selector(".step.done .diff .new")
        chat.page.wait_for_selector("text=It is 42.")
        chat.done()
        (asked, acted) = chat.stored()["messages"]
        assert acted["parent"] == asked["id"] and acted["steps"][1]["state"] == "done"
        assert (tmp_path / "workspaces" / id_ / "note.txt").read_text() == "hello\n"
