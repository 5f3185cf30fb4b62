"""The whole thinking matrix on RequestState, scripted: switches, budgets, limits, stops, grammars, tools and blocks.

Combinations are drawn, and what must always hold is checked; test_thinking_unit.py pins single rules by exact ids.
"""

from typing import Any

from control_driver import CLOSED, END_THINK, IM_END, THINK, Outcome, Script, drive, make_settings, tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from thinking_cases import ANSWER, CALL, RULES, WORDS, rules

from ponder.core.event import message_of
from ponder.core.params import Thinking
from ponder.engine.decoding.settings import Ceiling
from ponder.engine.decoding.thinking_budget import SENTENCE
from ponder.text.chat.parse import StreamParser

TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<|im_end|>", "<|im_start|>")


def script(block: str, answer: list[int], words: int) -> Script:
    thoughts = [WORDS[n % len(WORDS)] for n in range(words)]
    return {
        "absent": Script(answer, answer),
        "empty": Script([THINK, 271, END_THINK, 271, *answer], answer),
        "full": Script([THINK, 198, *thoughts, END_THINK, 271, *answer], answer),
        "twice": Script([THINK, *thoughts, END_THINK, 271, THINK, *thoughts, END_THINK, *answer], [THINK, *answer]),
        "unterminated": Script([THINK], answer, loop=WORDS),
        "endless": Script([THINK], answer, loop=tokenizer().encode("Wait, no. ")),
        "eos inside": Script([THINK, *thoughts, IM_END], answer),
        "call inside": Script([THINK, *CALL, END_THINK, 271, *answer], answer),
        "call": Script([THINK, *thoughts, END_THINK, 271, *CALL], CALL),
    }[block]


@settings(max_examples=400, deadline=None)
@given(
    hard=st.sampled_from([None, True, False]),
    soft=st.sampled_from(["", " /think", " /no_think"]),
    budget=st.sampled_from([None, 0, 1, 16, 1024]),
    max_tokens=st.sampled_from([1, 2, 8, 25, 26, 27, 64, 1000]),
    answer_now=st.one_of(st.none(), st.integers(0, 40)),
    stop=st.sampled_from([(), ("9.8",), ("STOP", "number"), ("e",)]),
    in_reasoning=st.booleans(),
    rule=st.sampled_from(sorted(RULES)),
    block=st.sampled_from(
        ["absent", "empty", "full", "twice", "unterminated", "endless", "eos inside", "call inside", "call"]
    ),
    words=st.integers(0, 60),
    opened=st.booleans(),
    show=st.booleans(),
    form=st.sampled_from(["docs", "paper"]),
)
def test_matrix(
    hard: bool | None,
    soft: str,
    budget: int | None,
    max_tokens: int,
    answer_now: int | None,
    stop: tuple[str, ...],
    in_reasoning: bool,
    rule: str,
    block: str,
    words: int,
    opened: bool,
    show: bool,
    form: Any,
) -> None:
    thinking = Thinking(enabled=hard, budget=budget, show_handover=show, handover=form)
    s, prompt = make_settings(thinking, "hi" + soft, max_tokens=max_tokens, stop=stop, stop_in_reasoning=in_reasoning)
    line = script(block, ANSWER, words)
    if opened and hard is not False:  # a template that opens the block in the prompt
        prompt = (*prompt, THINK)
        line.before = [i for n, i in enumerate(line.before) if not (n == 0 and i == THINK)]
    out = drive(s, prompt, line, rules=rules(rule), answer_now_at=answer_now)
    check_always(out, s.effective.budget, max_tokens, prompt, in_reasoning and bool(stop))
    check_text(out, prompt, stop, exact=show and form == "docs", calls=not rules(rule).text_calls)
    if rule == "none":
        assert out.calls == []
    if rule == "choice" and out.finish.reason == "stop" and out.finish.stop_reason is None:
        assert out.content in ("yes", "no")
    if rule == "required" and out.finish.reason == "tool_calls":
        assert [c.name for c in out.calls] == ["f"] and out.content == ""


def check_always(out: Outcome, budget: int | None, max_tokens: int, prompt: Any, stop_in_reasoning: bool) -> None:
    usage, finish = out.finish.usage, out.finish
    begins_open = prompt[-1] == THINK
    assert usage.completion_tokens == len(out.ids) <= max_tokens
    assert usage.prompt_tokens == len(prompt)
    if budget is not None:
        assert out.inside <= budget
    assert out.ids.count(THINK) <= (0 if begins_open or prompt[-4:] == CLOSED[-4:] else 1)
    has_block = begins_open or THINK in out.ids
    assert out.ids.count(END_THINK) <= has_block
    answered = END_THINK in out.ids or not has_block
    assert usage.handover_tokens in (0, 23, 24)
    assert (finish.handover is not None) == (usage.handover_tokens > 0)
    if finish.handover:
        assert END_THINK in out.ids and usage.reasoning_tokens == out.inside + (
            22 if usage.handover_tokens == 24 else 21
        )
    else:
        assert usage.reasoning_tokens == out.inside
    if not answered:
        assert out.content == "" and out.calls == []
        assert finish.reason == "length" or (stop_in_reasoning and finish.stop_reason)
    if finish.reason == "stop":
        assert finish.stop_reason or out.ids[-1] in (151645, 151643)
    if finish.reason == "tool_calls":
        assert out.calls
    if finish.reason == "length":
        assert len(out.ids) == max_tokens or not answered or finish.stop_reason == "repetition"


def check_text(out: Outcome, prompt: Any, stop: tuple[str, ...], *, exact: bool, calls: bool = True) -> None:
    """calls: False without tools, where what looks like a call is text."""
    for tag in TAGS:
        shown = out.content.replace("<tool_call>", "")
        shown = shown if calls else shown.replace("</tool_call>", "")
        assert tag not in shown or out.finish.malformed_calls
        assert tag not in out.reasoning or tag in ("<tool_call>", "</tool_call>")
    assert SENTENCE[:20] not in out.content
    if END_THINK in out.ids:
        assert not out.content.startswith(("\n", ".\n"))
    if out.finish.stop_reason in stop and stop:
        assert out.finish.stop_reason not in out.content
    if exact and out.finish.stop_reason is None:  # nothing is lost, nothing is added: equal to parsing the ids
        parser = StreamParser(tokenizer(), prompt, calls=calls)
        whole = message_of(parser.feed(out.ids) + parser.finish())
        streamed = message_of(out.events)
        assert streamed == whole


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_switches_that_must_not_matter_do_not_matter(data: st.DataObject) -> None:
    """A budget far away, a guard that has nothing to find, an answer_now that comes after the close: same ids."""
    words = data.draw(st.integers(0, 30))
    answer = data.draw(st.lists(st.sampled_from(ANSWER), min_size=1, max_size=12))
    plain, prompt = make_settings(Thinking(loop_guard=False))
    odd, _ = make_settings(Thinking(budget=5000, loop_guard=True), ceiling=Ceiling(budget=9999))
    one = drive(plain, prompt, script("full", answer, words))
    two = drive(odd, prompt, script("full", answer, words), answer_now_at=words + 3)
    assert one.ids == two.ids and one.content == two.content
