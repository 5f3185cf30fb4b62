"""Calls at the end of the thoughts, behind which the model stops, are the answer; not so with "text" (TC-3)."""

import json
from typing import Any

import pytest
from control_driver import END_THINK, END_TOOL_CALL, IM_END, THINK, TOOL_CALL, Script, drive, make_settings, tokenizer
from engine_tools import assert_all_back, scripted, texts

from ponder.core.event import ToolCallDone
from ponder.core.params import Grammar, Thinking
from ponder.engine.decoding.answer_constraint import AnswerRules, answer_rules
from ponder.engine.decoding.request_state import RequestState

TOOLS: tuple[dict[str, Any], ...] = (
    {"name": "f", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
)
STRICT = ({**TOOLS[0], "strict": True},)
WORDS = tokenizer().encode("Let us see what is to be done.")


def call(name: str = "f", arguments: str = "{}") -> list[int]:
    body = tokenizer().encode(f'\n{{"name": "{name}", "arguments": {arguments}}}\n')
    return [TOOL_CALL, *body, END_TOOL_CALL]


def rules(**fields: Any) -> AnswerRules:
    return answer_rules(tokenizer(), (151645, 151643), **{"tools": TOOLS, **fields})


def run(line: list[int], answer_rules: AnswerRules, *, close: bool = True, now: int | None = None, **sampling: Any):  # type: ignore[no-untyped-def]
    wish = Thinking(tool_in_thinking=None if close else "text", budget=sampling.pop("budget", None))
    settings, prompt = make_settings(wish, **sampling)
    after = tokenizer().encode("Done.")
    return drive(settings, prompt, Script(line, after), rules=answer_rules, answer_now_at=now)


def test_the_call_is_the_answer() -> None:
    line = [THINK, 198, *WORDS, 271, *call(arguments='{"x": "</tool_call>"}'), 198, IM_END]
    out = run(line, rules(), logprobs=0)
    assert [c.name for c in out.calls] == ["f"] and json.loads(out.calls[0].arguments) == {"x": "</tool_call>"}
    assert out.reasoning == "Let us see what is to be done." and out.content == ""
    assert (out.finish.reason, out.finish.handover) == ("tool_calls", None)
    assert out.ids == line and out.finish.usage.handover_tokens == 0
    assert any("tool_in_thinking" in w for w in out.finish.warnings) and not out.finish.malformed_calls


def test_off_it_is_text_and_the_hand_over_follows() -> None:
    out = run([THINK, 198, *WORDS, 271, *call(), IM_END], rules(), close=False)
    assert not out.calls and out.finish.handover == "eos" and "<tool_call>" in out.reasoning and out.content == "Done."
    assert "tool_in_thinking" not in str(out.finish.warnings)


@pytest.mark.parametrize(
    ("behind", "fields", "names"),
    [
        ([*call(), 198, *call("g")], {}, ["f", "g"]),
        ([*call(), 198, *call("g")], {"parallel_tool_calls": False}, []),
        ([*call()], {"parallel_tool_calls": False}, ["f"]),
        ([*call(), *WORDS], {}, []),
        ([*call(arguments="[]")], {}, []),
        ([*call()[:-1]], {}, ["f"]),
        ([*call()[:-1]], {"tools": STRICT}, ["f"]),
        ([*call(arguments='{"x": 1}')[:-1]], {"tools": STRICT}, []),
        ([*call()[:-3]], {}, []),
        ([*call()], {"tools": ()}, []),
        ([*call()], {"tool_choice": "none"}, []),
        ([*call()], {"tool_choice": "required"}, ["f"]),
        ([*call(arguments='{"x": 1}')], {"tool_choice": "required"}, None),
        ([*call("g")], {"tool_choice": "f"}, None),
        ([*call()], {"tools": STRICT}, ["f"]),
        ([*call(arguments='{"x": 1}')], {"tools": STRICT}, []),
        ([*call(), *call(arguments='{"x": 1}')], {"tools": STRICT}, []),
        ([*call()], {"grammar": Grammar("choice", '["yes", "no"]')}, ["f"]),
    ],
)
def test_only_what_the_answer_could_be(behind: list[int], fields: dict[str, Any], names: list[str] | None) -> None:
    """names None: a hand-over, and then the call that the grammar demands."""
    out = run([THINK, *WORDS, *behind, IM_END], rules(**fields))
    assert [c.name for c in out.calls] == (["f"] if names is None else names)
    assert (out.finish.handover == "eos") == (not names)
    assert ("<tool_call>" in out.reasoning) == (not names)
    if names is None:
        assert json.loads(out.calls[0].arguments) == {}


def test_every_budget_and_every_answer_now_cuts_a_draft_into_thoughts() -> None:
    """The same thoughts as without the option, wherever they are cut."""
    line = [THINK, *WORDS, *call(), *call("g"), IM_END]
    for at in range(1, len(line) - 1):
        for fields in ({"budget": at}, {"now": at}, {"max_tokens": at + 30}):
            on, off = (run(line, rules(), close=close, **fields) for close in (True, False))
            if on.calls:
                continue
            assert (on.reasoning, on.content, on.ids) == (off.reasoning, off.content, off.ids), (at, fields)
            assert on.finish.reason == off.finish.reason and on.finish.handover == off.finish.handover
    assert not run(line, rules(), budget=len(line) - 3).calls and run(line, rules(), budget=len(line)).calls


def test_stop_strings_of_the_thoughts_meet_what_was_held_back() -> None:
    line = [THINK, *WORDS, *call(arguments='{"x": "HALT"}')]
    fields: dict[str, Any] = {"stop": ("HALT",), "stop_in_reasoning": True}
    assert run([*line, IM_END], rules(), **fields).calls, "a call is no text"
    for cut in ([*line, *WORDS], [*line, END_THINK], [*line[:-2], IM_END]):
        out = run(cut, rules(), **fields)
        assert not out.calls and out.finish.stop_reason == "HALT" and out.finish.reason == "stop"
        assert out.reasoning.endswith('{"x": "') and out.content == ""


def test_cancelled_half_way_it_is_text() -> None:
    settings, prompt = make_settings(Thinking(tool_in_thinking="close"))
    state = RequestState(settings, tokenizer(), prompt, rules=rules())
    for id_ in [THINK, *call()]:
        state.accept(id_, sampled=True)
    assert state.events() == []
    finish = state.finish("cancelled")
    (event,) = state.events()
    assert finish.reason == "cancelled" and "<tool_call>" in event.text  # type: ignore[union-attr]


def test_in_the_engine_streamed_and_whole_and_at_any_burst() -> None:
    text = '<think>\nHm.\n<tool_call>\n{"name": "f", "arguments": {"x": "é👋"}}\n</tool_call>\n'
    for burst in (0.0, 1.0):
        llm = scripted([text], burst=burst)
        wish = Thinking(tool_in_thinking="close")
        whole = llm.chat("hi", tools=TOOLS, thinking=wish)
        events = list(llm.chat_stream("hi", tools=TOOLS, thinking=wish))
        assert [c.arguments for c in whole.tool_calls] == ['{"x": "é👋"}']
        assert [e.call for e in events if isinstance(e, ToolCallDone)] == list(whole.tool_calls)
        assert texts(events)[:2] == (whole.reasoning, whole.text) == ("Hm.", "")
        assert whole.finish.reason == "tool_calls" == events[-1].reason  # type: ignore[union-attr]
        assert_all_back(llm)
        llm.close()
