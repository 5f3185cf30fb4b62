"""Settings resolution, penalties, masks and delivery: the parts of RequestState that are not about the budget."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from control_driver import HEADER, IM_END, ROWS, THINK, TOOL_CALL, Script, drive, make_settings, profile, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

from ponder.core.errors import ContextLengthExceeded, UserError
from ponder.core.event import ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.message import Message, ToolCall
from ponder.core.params import SamplingParams, Thinking
from ponder.engine.decoding.output_buffer import OutputBuffer
from ponder.engine.decoding.request_state import RequestState
from ponder.engine.decoding.settings import Ceiling, choose_mode, resolve
from ponder.kernels.reference.sampling import constrain
from ponder.kernels.sampling import Penalties, SamplingRule, sample

Conversation = list[Message]


@pytest.mark.parametrize(
    ("hard", "text", "thinking", "source", "prefill"),
    [
        (None, "", True, "default", False),
        (None, "/no_think", False, "soft switch", False),
        (None, "/think", True, "soft switch", False),
        (True, "", True, "request", False),
        (True, "/no_think", True, "request", False),
        (False, "", False, "request", True),
        (False, "/think", False, "request", True),
    ],
)
def test_modes_of_a_hybrid_model(hard: bool | None, text: str, thinking: bool, source: str, prefill: bool) -> None:
    mode = choose_mode(Thinking(enabled=hard), [Message.user(text)], profile())
    assert (mode.thinking, mode.source, mode.prefill_empty) == (thinking, source, prefill)
    assert bool(mode.warnings) == (hard is True and text == "/no_think")


def test_models_that_cannot_switch_refuse_by_name() -> None:
    with pytest.raises(UserError, match=r"thinking_not_switchable.*hybrid model such as") as error:
        choose_mode(Thinking(enabled=False), [], profile(capability="thinking"))
    assert error.value.param == "enable_thinking"
    for capability in ("instruct", "base"):
        with pytest.raises(UserError, match="hybrid model such as"):
            choose_mode(Thinking(enabled=True), [], profile(capability=capability))
        with pytest.raises(UserError, match="without thinking") as error:
            choose_mode(Thinking(budget=5), [], profile(capability=capability))
        assert error.value.param == "thinking_budget"
        assert choose_mode(Thinking(enabled=False), [], profile(capability=capability)).source == "model"
    assert choose_mode(Thinking(), [Message.user("/no_think")], profile(capability="thinking")).warnings


def test_sampling_defaults_come_from_the_mode_and_the_request_wins() -> None:
    def effective(thinking: Thinking, **sampling: Any) -> tuple[float, float, int, float]:
        mode = choose_mode(thinking, [], profile())
        e = resolve(SamplingParams(**sampling), thinking, mode, profile(), 10).effective
        return e.temperature, e.top_p, e.top_k, e.min_p

    assert effective(Thinking()) == (0.6, 0.95, 20, 0.0)
    assert effective(Thinking(enabled=False)) == (0.7, 0.8, 20, 0.0)
    assert effective(Thinking(), temperature=1.0, top_k=0) == (1.0, 0.95, 0, 0.0)
    own = profile(thinking_defaults=SamplingParams(temperature=0.9))
    e = resolve(SamplingParams(), Thinking(), choose_mode(Thinking(), [], own), own, 10).effective
    assert (e.temperature, e.top_p) == (0.9, 0.95)


def test_seed_is_random_and_reported() -> None:
    seeds = {make_settings(seed=None)[0].effective.seed for _ in range(20)}
    assert len(seeds) == 20
    assert make_settings(seed=7)[0].effective.seed == 7


def test_limits_and_ceilings() -> None:
    s, prompt = make_settings()
    assert s.effective.max_tokens == 40960 - len(prompt) and not [w for w in s.warnings if "max_tokens" in w]
    s, _ = make_settings(max_tokens=10**6)
    assert s.effective.max_tokens == 40960 - len(prompt) and any("lowered" in w for w in s.warnings)
    s, _ = make_settings(Thinking(budget=100), ceiling=Ceiling(budget=30, max_tokens=50))
    assert (s.effective.budget, s.effective.max_tokens) == (30, 50) and any("budget lowered" in w for w in s.warnings)
    assert make_settings(ceiling=Ceiling(budget=30))[0].effective.budget == 30
    assert make_settings(Thinking(budget=3), ceiling=Ceiling(budget=30))[0].effective.budget == 3
    s, _ = make_settings(Thinking(enabled=False, budget=3))
    assert s.effective.budget is None and any("no effect" in w for w in s.warnings)


def test_a_prompt_that_does_not_fit_is_refused_with_numbers() -> None:
    mode = choose_mode(Thinking(), [], profile())
    assert resolve(SamplingParams(), Thinking(), mode, profile(context=100), 99).effective.max_tokens == 1
    with pytest.raises(ContextLengthExceeded) as error:
        resolve(SamplingParams(), Thinking(), mode, profile(context=100), 100)
    assert (error.value.prompt_tokens, error.value.limit) == (100, 100)


def test_greedy_thoughts_are_obeyed_with_a_warning() -> None:
    s, _ = make_settings(temperature=0.0)
    assert s.effective.temperature == 0 and any("greedy" in w for w in s.warnings)
    assert not make_settings(Thinking(enabled=False), temperature=0.0)[0].warnings
    own = profile(thinking_defaults=SamplingParams(temperature=0.0))
    mode = choose_mode(Thinking(), [], own)
    assert not resolve(SamplingParams(), Thinking(), mode, own, 10).warnings, "it is what the model is made for"


@pytest.mark.parametrize("id_", [151_669, 151_935, 10**9])
def test_bias_for_ids_that_do_not_exist_is_refused(id_: int) -> None:
    with pytest.raises(UserError, match="vocabulary ends at 151668"):
        make_settings(logit_bias={id_: 1.0})


def test_penalties_equal_transformers_and_openai() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=500).astype(np.float32) * 4
    prompt, answer = [3, 4, 5, 5], [5, 7, 7, 9]
    penalties = Penalties(1.3, 0.5, 0.25, prompt)
    for id_ in answer:
        penalties.add(id_)
    mine = logits.copy()
    constrain(mine, SamplingRule(vocab=500, penalties=penalties, bias={9: 2.0, 11: -100.0}))
    seen = torch.tensor([prompt + answer])
    want = RepetitionPenaltyLogitsProcessor(1.3)(seen, torch.from_numpy(logits.copy())[None])[0].numpy()
    for id_ in set(answer):
        want[id_] -= 0.5 + 0.25 * answer.count(id_)
    want[9] += 2
    want[11] -= 100
    np.testing.assert_allclose(mine, want, rtol=1e-6)
    without = RequestState(make_settings(Thinking(enabled=False))[0], tokenizer(), prompt).rule()
    assert without.penalties is None and without.steady


def test_padding_rows_and_tags_are_never_likely() -> None:
    s, prompt = make_settings(Thinking(enabled=False))
    row = np.zeros(ROWS, np.float32)
    state = RequestState(s, tokenizer(), prompt)
    constrain(row, state.rule())
    assert set(np.flatnonzero(row == -np.inf)) == {*range(151_669, ROWS), 151667, 151668}
    state = RequestState(make_settings()[0], tokenizer(), make_settings()[1])
    row[:] = 0
    constrain(row, state.rule())
    assert set(np.flatnonzero(row == -np.inf)) == {*range(151_669, ROWS), 151668}
    state = RequestState(make_settings()[0], tokenizer(), (*HEADER, THINK))
    row[:] = 0
    constrain(row, state.rule())
    assert set(np.flatnonzero(row == -np.inf)) == {*range(151_669, ROWS), 151667}


def test_narrow_logits_work_as_well() -> None:
    """A model without padding rows: V is exactly the vocabulary."""
    s, prompt = make_settings(Thinking(enabled=False))
    row = np.zeros(151_669, np.float32)
    constrain(row, RequestState(s, tokenizer(), prompt).rule())
    assert int((row == -np.inf).sum()) == 2


def test_a_seed_gives_the_same_text_and_choices_differ() -> None:
    s, prompt = make_settings(Thinking(enabled=False), temperature=1.0, seed=5, top_k=0, top_p=1.0, max_tokens=30)
    flat = np.random.default_rng(4).normal(size=ROWS).astype(np.float32)

    def run(choice: int) -> list[int]:
        state = RequestState(s, tokenizer(), prompt, choice=choice)
        while state.finish_reason is None:
            [got] = sample(flat.copy()[None], [state.rule()], [len(prompt) + len(state.ids)])
            state.accept(got.id, sampled=True)
        return state.ids

    assert run(0) == run(0) and run(0) != run(1) and len(set(run(0))) > 20


def test_answer_now_from_another_thread() -> None:
    s, prompt = make_settings(Thinking(loop_guard=False))
    state = RequestState(s, tokenizer(), prompt)
    state.accept(THINK, sampled=True)
    threading.Thread(target=state.request_answer_now).start()
    for _ in range(10_000):
        if state.forced():
            break
        state.accept(198, sampled=True)
    assert state.handover == "answer_now"


def test_cancel_delivers_what_was_held() -> None:
    s, prompt = make_settings(stop=("STOPPED",))
    state = RequestState(s, tokenizer(), prompt)
    for id_ in tokenizer().encode("now STOP"):
        state.accept(id_, sampled=True)
    before = "".join(e.text for e in state.events() if isinstance(e, TextDelta))
    finish = state.finish("cancelled", cached_tokens=3)
    after = "".join(e.text for e in state.events() if isinstance(e, TextDelta))
    assert (before, after, finish.reason, finish.usage.cached_tokens) == ("now ", "STOP", "cancelled", 3)
    with pytest.raises(AssertionError):
        state.accept(198, sampled=True)


def test_an_end_token_that_does_not_end_a_base_model_is_no_text() -> None:
    """RL-3: the base models end with <|endoftext|> only."""
    base = profile(capability="base", eos_ids=(151643,))
    mode = choose_mode(Thinking(), [], base)
    s = resolve(SamplingParams(temperature=0.0, seed=1), Thinking(), mode, base, 3)
    words = tokenizer().encode("one two")
    out = drive(s, tokenizer().encode("Count: "), Script([words[0], IM_END, words[1], 151643]))
    assert out.ids == [words[0], IM_END, words[1], 151643] and out.content == "one two"
    assert out.finish.reason == "stop"


def test_broken_call_stays_text_and_is_counted() -> None:
    s, prompt = make_settings(max_tokens=30)
    out = drive(s, prompt, Script([TOOL_CALL, *tokenizer().encode('\n{"name": "f", "arg')], loop=[198]))
    assert out.finish.reason == "length" and out.finish.malformed_calls == 1 and "<tool_call>" in out.content


Piece = tuple[str, str]


@given(st.lists(st.tuples(st.sampled_from("rtc"), st.text("abx", max_size=5)), max_size=12), st.booleans())
def test_delivery_keeps_order_and_loses_nothing(pieces: list[Piece], in_reasoning: bool) -> None:
    """Without a match the concatenated text of each run between calls is untouched, whatever was held back."""

    def events(kind: str, text: str) -> list[Any]:
        return {"r": [ReasoningDelta(text)], "t": [TextDelta(text)], "c": [ToolCallDone(0, ToolCall("f"))]}[kind]

    def shape(stream: list[Any]) -> list[Piece]:
        out: list[Piece] = []
        for e in stream:
            kind = "c" if isinstance(e, ToolCallDone) else "r" if isinstance(e, ReasoningDelta) else "t"
            text = "" if kind == "c" else e.text
            if kind != "c" and out and out[-1][0] == kind:
                out[-1] = (kind, out[-1][1] + text)
            elif text or kind == "c":
                out.append((kind, text))
        return out

    stream = [e for kind, text in pieces for e in events(kind, text)]
    output = OutputBuffer(("aaaaaaz", "bq", "abxabxq"), in_reasoning=in_reasoning)
    for event in stream:
        output.put([event])
    output.flush()
    assert output.matched is None
    assert shape(output.take()) == shape(stream)
    assert output.calls == sum(k == "c" for k, _ in pieces)
