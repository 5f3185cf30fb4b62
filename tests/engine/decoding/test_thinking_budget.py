"""Single rules of thinking on RequestState, scripted, pinned by exact ids; test_thinking_matrix.py draws
combinations."""

import json
from typing import Any

import pytest
from control_driver import (
    END_THINK,
    END_TOOL_CALL,
    HEADER,
    IM_END,
    THINK,
    TOOL_CALL,
    Script,
    drive,
    make_settings,
    profile,
    tokenizer,
)
from thinking_cases import ANSWER, CALL, TOOLS, WORDS, rules

from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.engine.decoding.answer_constraint import answer_rules
from ponder.engine.decoding.request_state import RequestState
from ponder.engine.decoding.settings import choose_mode, resolve
from ponder.engine.decoding.thinking_budget import SENTENCE, answer_share, handover_ids

DOCS_TEXT = (
    "271 82796 279 7199 882 553 279 1196 11 358 614 311 2968 279 6291 3118 389 279 7274 5961 1431 624 151668 271"
)
DOCS = tuple(map(int, DOCS_TEXT.split()))  # by the published tokenizer


def test_handover_ids_equal_the_published_ones() -> None:
    assert handover_ids(tokenizer(), "docs") == DOCS
    paper = handover_ids(tokenizer(), "paper")
    text = tokenizer().decode(paper, skip_special=False)
    assert text == SENTENCE + "</think>.\n\n" and END_THINK in paper


@pytest.mark.parametrize("budget", [0, 1, 16, 1024])
def test_budget_is_exact(budget: int) -> None:
    """TB-1: exactly B sampled ids, the fixed ids, then the answer, in one request."""
    s, prompt = make_settings(Thinking(budget=budget, loop_guard=False), max_tokens=8000)
    out = drive(s, prompt, Script([THINK], ANSWER, loop=WORDS))
    thoughts = [WORDS[n % len(WORDS)] for n in range(budget)]
    assert out.ids == [THINK, *thoughts, *DOCS, *ANSWER, IM_END]
    assert out.finish.reason == "stop" and out.finish.handover == "budget"
    assert out.finish.usage.reasoning_tokens == budget + 22 and out.finish.usage.handover_tokens == 24
    assert out.content == tokenizer().decode(ANSWER) and out.finish.effective.budget == budget


def test_natural_close_one_id_before_the_budget() -> None:
    s, prompt = make_settings(Thinking(budget=16))
    out = drive(s, prompt, Script([THINK, *WORDS[:15], END_THINK, 271, *ANSWER]))
    assert out.ids == [THINK, *WORDS[:15], END_THINK, 271, *ANSWER, IM_END]
    assert out.finish.handover is None and out.finish.usage.reasoning_tokens == 15


def test_block_opened_by_the_prompt_counts_from_zero() -> None:
    s, prompt = make_settings(Thinking(budget=3))
    out = drive(s, (*prompt, THINK, 198, 198), Script(WORDS, ANSWER))
    assert out.ids[:27] == [*WORDS[:3], *DOCS]


def test_budget_zero_in_an_open_prompt_hands_over_at_once() -> None:
    s, prompt = make_settings(Thinking(budget=0))
    assert drive(s, (*prompt, THINK), Script(WORDS, ANSWER)).ids == [*DOCS, *ANSWER, IM_END]


def test_eos_inside_the_block_is_replaced_by_the_handover() -> None:
    for end in (151645, 151643):
        s, prompt = make_settings()
        out = drive(s, prompt, Script([THINK, *WORDS[:5], end], ANSWER))
        assert out.ids == [THINK, *WORDS[:5], *DOCS, *ANSWER, IM_END]
        assert out.finish.handover == "eos" and out.finish.reason == "stop" and out.content


@pytest.mark.parametrize("at", range(0, 12))
def test_answer_now_at_any_moment(at: int) -> None:
    """Step 0 samples <think>, steps 1..6 thoughts, 7 the close, 8.. the answer."""
    s, prompt = make_settings()
    out = drive(s, prompt, Script([THINK, *WORDS[:6], END_THINK, 271, *ANSWER], ANSWER), answer_now_at=at)
    if at <= 7:
        assert out.ids == [THINK, *WORDS[: max(0, at - 1)], *DOCS, *ANSWER, IM_END]
        assert out.finish.handover == "answer_now"
    else:
        assert out.finish.handover is None and out.content == tokenizer().decode(ANSWER)


def test_answer_now_does_nothing_without_a_block() -> None:
    s, prompt = make_settings()
    out = drive(s, prompt, Script(ANSWER), answer_now_at=2)
    assert out.ids == [*ANSWER, IM_END] and out.finish.handover is None


@pytest.mark.parametrize("max_tokens", [1, 2, 8, 25, 26, 27, 40, 64, 100, 1000, 3000])
def test_max_tokens_keeps_a_share_for_the_answer(max_tokens: int) -> None:
    """TB-3. An endless thinker either answers, or ends with "length", full thoughts and content ""."""
    s, prompt = make_settings(Thinking(loop_guard=False), max_tokens=max_tokens)
    out = drive(s, prompt, Script([THINK], ANSWER * 500, loop=WORDS))
    assert len(out.ids) == max_tokens and out.finish.reason == "length"
    if max_tokens < 26:
        assert out.content == "" and out.finish.handover is None and out.ids.count(END_THINK) == 0
    else:
        answer = len(out.ids) - 1 - out.inside - 24
        assert out.content and out.finish.handover == "max_tokens"
        assert answer == answer_share(max_tokens) or (out.inside == 0 and answer == max_tokens - 25)


def test_share_numbers() -> None:
    assert [answer_share(m) for m in (1, 2, 8, 64, 512, 1000, 1024, 4096)] == [0, 1, 4, 32, 256, 256, 256, 1024]


def test_budget_holds_even_where_no_handover_fits() -> None:
    s, prompt = make_settings(Thinking(budget=1), max_tokens=8)
    out = drive(s, prompt, Script([THINK], ANSWER, loop=WORDS))
    assert out.ids == [THINK, WORDS[0]] and out.finish.reason == "length" and out.content == ""
    assert out.reasoning == "Let"


def test_no_room_at_all_ends_before_the_first_step() -> None:
    s, prompt = make_settings(Thinking(budget=0), max_tokens=8)
    state = RequestState(s, tokenizer(), (*prompt, THINK))
    assert state.finish_reason == "length" and state.finish().usage.completion_tokens == 0


def test_endless_repetition_in_thoughts_hands_over() -> None:
    s, prompt = make_settings()
    out = drive(s, prompt, Script([THINK, *WORDS], ANSWER, loop=tokenizer().encode("Wait, let me check again. ")))
    assert out.finish.handover == "loop" and out.content == tokenizer().decode(ANSWER)
    assert out.finish.usage.reasoning_tokens < 400 and out.finish.reason == "stop"


def test_endless_repetition_in_the_answer_stops() -> None:
    s, prompt = make_settings()
    out = drive(s, prompt, Script([THINK, 198, END_THINK, 271, *ANSWER], loop=tokenizer().encode("And again it is. ")))
    assert (out.finish.reason, out.finish.stop_reason) == ("stop", "repetition") and len(out.ids) < 400


def test_the_guard_can_be_switched_off() -> None:
    s, prompt = make_settings(Thinking(loop_guard=False), max_tokens=700)
    out = drive(s, prompt, Script(ANSWER, loop=tokenizer().encode("And again it is. ")))
    assert out.finish.reason == "length" and len(out.ids) == 700


def test_repetition_inside_a_grammar_does_not_look_complete() -> None:
    s, prompt = make_settings()
    compiled = answer_rules(tokenizer(), (151645, 151643), grammar=Grammar("json_schema", '{"type": "string"}'))
    out = drive(s, prompt, Script(tokenizer().encode('"and'), loop=tokenizer().encode(" again it is")), rules=compiled)
    assert (out.finish.reason, out.finish.stop_reason) == ("length", "repetition")


def test_second_think_is_masked_after_every_kind_of_close() -> None:
    for budget in (None, 4):
        s, prompt = make_settings(Thinking(budget=budget))
        out = drive(s, prompt, Script([THINK, *WORDS[:6], END_THINK, 271, THINK, *ANSWER], [THINK, *ANSWER]))
        assert out.ids.count(THINK) == 1 and out.ids.count(END_THINK) == 1
    s, prompt = make_settings(Thinking(enabled=False))
    assert THINK not in drive(s, prompt, Script([THINK, *ANSWER])).ids
    s, prompt = make_settings()
    assert THINK not in drive(s, prompt, Script([*ANSWER, THINK, *WORDS])).ids


def test_nothing_is_forced_when_the_model_opens_no_block() -> None:
    s, prompt = make_settings(Thinking(budget=0))
    out = drive(s, prompt, Script(ANSWER), answer_now_at=0)
    assert out.ids == [*ANSWER, IM_END] and out.finish.usage.reasoning_tokens == 0


def test_soft_off_has_no_reasoning_and_no_leading_newlines() -> None:
    """TH-3."""
    s, prompt = make_settings(text="hi /no_think")
    out = drive(s, prompt, Script([THINK, 271, END_THINK, 271, *ANSWER]))
    assert out.reasoning == "" and out.content == tokenizer().decode(ANSWER)
    assert not out.finish.effective.thinking and out.finish.effective.thinking_source == "soft switch"


@pytest.mark.parametrize("form", ["docs", "paper"])
@pytest.mark.parametrize("show", [True, False])
def test_where_the_sentence_shows(form: Any, show: bool) -> None:
    """TB-2: never in the content; in the thoughts if wanted; in the model's context always."""
    s, prompt = make_settings(Thinking(budget=5, handover=form, show_handover=show))
    out = drive(s, prompt, Script([THINK], ANSWER, loop=WORDS))
    sentence = handover_ids(tokenizer(), form)
    assert tuple(out.ids[6 : 6 + len(sentence)]) == sentence
    assert out.content == tokenizer().decode(ANSWER)
    assert (SENTENCE.rstrip("\n") in out.reasoning) == show
    assert out.reasoning.startswith(tokenizer().decode(WORDS[:5]))


@pytest.mark.parametrize("show", [True, False])
def test_a_cut_inside_a_character_leaves_valid_text(show: bool) -> None:
    emoji = next(ids for ids in ([*tokenizer().encode(c)] for c in "🫨🦩🜚𓀀𝔘") if len(ids) > 1)
    s, prompt = make_settings(Thinking(budget=len(emoji) + len(emoji) - 1, show_handover=show))
    out = drive(s, prompt, Script([THINK], ANSWER, loop=emoji))
    assert out.inside == 2 * len(emoji) - 1
    assert out.reasoning[0] == tokenizer().decode(emoji) and out.reasoning[1] == "\ufffd"
    out.reasoning.encode("utf-8")
    assert out.content == tokenizer().decode(ANSWER)


def test_stop_strings_act_on_the_answer_only() -> None:
    """RS-5."""
    thoughts = tokenizer().encode("Is 9.8 more than 9.11?")
    line = [THINK, *thoughts, END_THINK, 271, *ANSWER]
    s, prompt = make_settings(stop=("9.8",))
    out = drive(s, prompt, Script(line))
    assert out.content == "It is " and "9.8" in out.reasoning
    assert (out.finish.reason, out.finish.stop_reason) == ("stop", "9.8")
    s, prompt = make_settings(stop=("9.8",), stop_in_reasoning=True)
    out = drive(s, prompt, Script(line))
    assert out.reasoning == "Is " and out.content == "" and out.finish.stop_reason == "9.8"


def test_stop_does_not_act_on_the_sentence_nor_inside_calls() -> None:
    s, prompt = make_settings(Thinking(budget=2), stop=("time", "name", "{"), stop_in_reasoning=True)
    out = drive(s, prompt, Script([THINK], CALL, loop=WORDS), rules=rules("tools"))
    assert [c.name for c in out.calls] == ["f"] and out.finish.reason == "tool_calls"
    broken = [TOOL_CALL, *tokenizer().encode('{"name": broken'), END_TOOL_CALL, *tokenizer().encode(" then name")]
    s, prompt = make_settings(stop=("name",))
    out = drive(s, prompt, Script(broken))
    assert out.content == '<tool_call>{"name": broken</tool_call> then ' and out.finish.malformed_calls == 1


def test_held_back_text_is_delivered_at_the_end() -> None:
    s, prompt = make_settings(stop=("STOPPED",), max_tokens=4000)
    out = drive(s, prompt, Script(tokenizer().encode("now STOP")))
    assert out.content == "now STOP" and out.finish.stop_reason is None


def test_stop_that_the_last_newline_completes() -> None:
    s, prompt = make_settings(stop=("\n\n",))
    out = drive(s, prompt, Script(tokenizer().encode("one\n\n")))
    assert out.content == "one" and out.finish.stop_reason == "\n\n"


def test_grammar_waits_for_the_answer() -> None:
    """SO-1: thoughts are free; after a natural close the model's own newlines are not part of the answer."""
    choice = rules("choice")
    for thinking, line in [
        (Thinking(), [THINK, *WORDS, END_THINK, 271, *tokenizer().encode("no")]),
        (Thinking(), [THINK, *WORDS, END_THINK, *tokenizer().encode("no")]),
        (Thinking(budget=4), [THINK, *WORDS, *WORDS]),
        (Thinking(enabled=False), tokenizer().encode("no")),
        (Thinking(), tokenizer().encode("no")),
        (Thinking(), [THINK, 271, END_THINK, 271, *ANSWER]),
    ]:
        s, prompt = make_settings(thinking)
        out = drive(s, prompt, Script(line, tokenizer().encode("no")), rules=choice)
        assert out.content in ("yes", "no") and out.finish.reason == "stop"
        if THINK in line:
            assert len(out.reasoning) > 5 or 271 in line[:2]


def test_parallel_calls_false_ends_after_the_first() -> None:
    single = answer_rules(tokenizer(), (151645,), tools=TOOLS, parallel_tool_calls=False)
    s, prompt = make_settings()
    out = drive(s, prompt, Script([*CALL, 198, *CALL]), rules=single)
    assert len(out.calls) == 1 and out.finish.reason == "tool_calls" and out.ids == CALL
    out = drive(s, prompt, Script([*CALL, 198, *CALL]), rules=rules("tools"))
    assert len(out.calls) == 2 and out.finish.reason == "tool_calls"


def test_required_calls_after_thinking_and_without() -> None:
    for thinking in (Thinking(), Thinking(enabled=False), Thinking(budget=3)):
        s, prompt = make_settings(thinking)
        line = [*WORDS] if thinking.enabled is False else [THINK, *WORDS, END_THINK, 271, *ANSWER]
        out = drive(s, prompt, Script(line, ANSWER), rules=rules("required"))
        assert [c.name for c in out.calls] == ["f"] and out.content == "" and out.finish.reason == "tool_calls"
        assert json.loads(out.calls[0].arguments) == {}


def test_tool_choice_none_masks_the_call_but_not_in_thoughts() -> None:
    s, prompt = make_settings()
    out = drive(s, prompt, Script([THINK, *CALL, END_THINK, 271, *CALL]), rules=rules("none"))
    assert out.calls == [] and "<tool_call>" not in out.content and "<tool_call>" in out.reasoning


def test_grammar_and_tools_together() -> None:
    s, prompt = make_settings()
    assert drive(s, prompt, Script(CALL), rules=rules("both")).finish.reason == "tool_calls"
    assert drive(s, prompt, Script(ANSWER), rules=rules("both")).content in ("yes", "no")


def test_logprobs_are_the_models_own_and_mark_the_thoughts() -> None:
    s, prompt = make_settings(Thinking(budget=2), logprobs=1, logit_bias={ANSWER[0]: 100.0}, temperature=0.6)
    out = drive(s, prompt, Script([THINK], ANSWER, loop=WORDS))
    found = [e for e in out.events if type(e).__name__ == "TokenLogprob"]
    assert [e.id for e in found] == out.sampled  # type: ignore[union-attr]
    assert [e.reasoning for e in found[:4]] == [False, True, True, False]  # type: ignore[union-attr]
    assert all(-1e-3 < e.logprob <= 0 and e.top[0][0] == e.id for e in found[:3])  # type: ignore[union-attr]


def test_a_thinking_only_model_and_an_instruct_model() -> None:
    only = profile(capability="thinking")
    mode = choose_mode(Thinking(), [], only)
    s = resolve(SamplingParams(temperature=0.0, seed=1), Thinking(budget=4), mode, only, 4)
    out = drive(s, (*HEADER, THINK, 198), Script(WORDS, ANSWER))
    assert out.ids[:28] == [*WORDS[:4], *DOCS]
    instruct = profile(capability="instruct")
    mode = choose_mode(Thinking(), [], instruct)
    s = resolve(SamplingParams(temperature=0.0, seed=1), Thinking(), mode, instruct, 4)
    assert drive(s, HEADER, Script([THINK, *ANSWER])).ids.count(THINK) == 0


def test_bias_and_penalties_leave_thoughts_alone() -> None:
    banned = WORDS[0]
    s, prompt = make_settings(logit_bias={banned: -100.0}, presence_penalty=2.0)
    out = drive(s, prompt, Script([THINK, *[banned] * 5, END_THINK, 271, banned, *ANSWER]))
    assert out.ids[1:6] == [banned] * 5
    assert banned in out.ids[8:] or out.ids[8] != banned


def test_answer_now_without_room_says_so() -> None:
    s, prompt = make_settings(max_tokens=8)
    out = drive(s, prompt, Script([THINK], ANSWER, loop=WORDS), answer_now_at=3)
    assert len(out.ids) == 8 and out.finish.reason == "length" and any("no room" in w for w in out.finish.warnings)


def test_a_block_opened_for_an_instruct_model_still_closes() -> None:
    instruct = profile(capability="instruct")
    mode = choose_mode(Thinking(), [], instruct)
    s = resolve(SamplingParams(temperature=0.0, seed=1, max_tokens=100), Thinking(), mode, instruct, 4)
    out = drive(s, (*HEADER, THINK), Script([*WORDS[:3], IM_END], ANSWER))
    assert out.ids == [*WORDS[:3], *DOCS, *ANSWER, IM_END] and out.finish.handover == "eos"


def test_a_stop_string_on_the_last_id_of_the_budget_is_no_handover() -> None:
    s, prompt = make_settings(Thinking(budget=2), stop=(tokenizer().decode(WORDS[1:2]),), stop_in_reasoning=True)
    out = drive(s, prompt, Script([THINK], ANSWER, loop=WORDS))
    assert out.ids == [THINK, *WORDS[:2]] and out.finish.handover is None and out.finish.reason == "stop"
