"""What the Python API takes: wrong types and values are refused by name, before anything runs (SR-2)."""

from typing import Any

import pytest
from engine_tools import scripted, tiny, tiny_model

from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.engine.llm import LLM


@pytest.fixture(scope="module")
def llm() -> LLM:
    return scripted(["Hi"])


@pytest.mark.parametrize("messages", [None, 5, b"hi", {"role": "user", "content": "x"}, Message.user("x"), ["x"], [5]])
def test_messages_are_a_text_or_a_list_of_messages(llm: LLM, messages: Any) -> None:
    with pytest.raises(UserError, match="message") as e:
        llm.chat(messages)
    assert e.value.param == "messages"


def test_a_bad_message_is_named_by_its_place(llm: LLM) -> None:
    good = {"role": "user", "content": "x"}
    with pytest.raises(UserError, match="message 1: a tool call needs"):
        llm.chat([good, {"role": "assistant", "tool_calls": [{"arguments": {}}]}])


@pytest.mark.parametrize(
    "options",
    [
        {"history": "bogus"},
        {"parallel_tool_calls": "no"},
        {"tool_choice": None},
        {"tool_choice": {"type": "function"}},
        {"tools": ["f"]},
        {"tools": {"name": "f"}},
        {"tools": [{"type": "function"}]},
        {"tools": [{"type": "function", "function": None}]},
        {"tools": [{"name": 5}]},
        {"tools": [{"name": "f", "parameters": object()}]},
        {"tools": [{"name": "f", "parameters": []}]},
        {"thinking": "on"},
        {"thinking": 1.5},
        {"budget": "5"},
        {"budget": True},
        {"budget": 1.5},
        {"grammar": "a+"},
        {"sampling": {"temperature": 1}},
    ],
)
def test_wrong_options_are_refused_by_name(llm: LLM, options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as e:
        llm.chat("x", **options)
    [name] = options
    assert (e.value.param or "").startswith(name) or name in str(e.value)


@pytest.mark.parametrize("prompt", [None, 5, [1.5], [None], b"hi", [["a"]]])
def test_a_prompt_is_a_text_or_ids(llm: LLM, prompt: Any) -> None:
    with pytest.raises(UserError) as e:
        llm.generate(prompt)
    assert e.value.param == "prompt"


@pytest.mark.parametrize(
    "make",
    [
        lambda: SamplingParams(temperature="warm"),
        lambda: SamplingParams(stop="\n"),
        lambda: SamplingParams(logit_bias={"5": 1}),
        lambda: SamplingParams(seed=1.5),
        lambda: Thinking(budget=1.5),
        lambda: Thinking(budget=True),
        lambda: Thinking(enabled="yes"),
        lambda: Thinking(handover="other"),
        lambda: Grammar("yaml", "x"),
        lambda: Grammar("json_object", "{}"),
    ],
)
def test_parameters_made_in_python_are_checked_too(make: Any) -> None:
    with pytest.raises(UserError) as e:
        make()
    assert e.value.param


@pytest.mark.parametrize("ids", [(10**9,), (-1,), (151800,)])
def test_exact_ids_outside_the_vocabulary_never_reach_the_model(ids: tuple[int, ...]) -> None:
    history = [Message.user("a"), Message.assistant("b", tool_calls=(ToolCall("f"),), ids=ids), Message.user("c")]
    with tiny(tiny_model(128)) as llm, pytest.raises(UserError, match="vocabulary"):
        llm.chat(history, history="exact")
