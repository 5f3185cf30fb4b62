"""Many ids before anybody looks give what one id at a time gives: events, ids, log-probabilities, usage, cache."""

import random
import time
from typing import Any

import pytest
from engine_tools import TOKENIZER, assert_all_back, run_all, scripted, texts, tiny, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.event import Event
from ponder.core.params import Grammar, Thinking

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
LONG = " ".join(f"word{i}" for i in range(60))
REPLIES: list[Any] = [
    f"<think>\n{LONG}\n</think>\n\nGrüße 👋🏽! {LONG}",
    f"{LONG}. {CALL}\n{CALL} and {LONG}",
    f"<think>\n{LONG}<|im_end|>",
    {"text": "<think>\nOn and on and on. ", "eos": False, "answer": f"So. {LONG}"},
    {"text": "Wait, let me check. ", "eos": False},
    f'<think>\n{LONG} {CALL}\n</think>\n\n{{"a": [1, 2, 3], "b": "{LONG}"}}',
    {"ids": [TOKENIZER.think, 198, *range(1000, 1400)], "answer": "Late."},
]

OPTIONS = st.fixed_dictionaries(
    {"seed": st.integers(0, 3), "max_tokens": st.integers(1, 250)},
    optional={
        "temperature": st.sampled_from([0.0, 0.7, 2.0]),
        "thinking": st.sampled_from([True, False, 0, 1, 17, 64, Thinking(loop_guard=False, budget=90)]),
        "stop": st.sampled_from(["word7", "word5 word6", "\n\n", "re"]),
        "stop_in_reasoning": st.booleans(),
        "logprobs": st.integers(0, 3),
        "presence_penalty": st.sampled_from([0.0, 1.5]),
        "logit_bias": st.sampled_from([{}, {198: -100.0}]),
        "tools": st.just([TOOL]),
        "parallel_tool_calls": st.booleans(),
        "grammar": st.sampled_from([None, Grammar("json_object"), Grammar("regex", "(word[0-9]+ ?)*")]),
        "n": st.integers(1, 2),
    },
)


def ask(asked: list[dict[str, Any]], first: int, burst: float) -> tuple[list[list[Event]], list[tuple[int, ...]], bool]:
    """Ask twice, so that the second round finds the cache that the first one left: (events, ids, were there bursts)."""
    events, ids, calls = [], [], 0
    with scripted(REPLIES[first:] + REPLIES[:first], burst=burst, background=False, blocks=500, block_size=4) as llm:
        for _ in range(2):
            handles = [llm.chat_stream(f"Question {i}", **options) for i, options in enumerate(asked)]
            while llm.engine.step():
                calls += 1
            for handle in handles:
                events += [list(handle.choice(c)) for c in range(len(handle))]
                ids += [handle.ids(c) for c in range(len(handle))]
        assert_all_back(llm)
        return events, ids, calls < llm.stats().steps


@settings(max_examples=25, deadline=None)
@given(st.lists(OPTIONS, min_size=1, max_size=3), st.integers(0, len(REPLIES) - 1))
def test_any_request_gets_the_same_in_bursts(asked: list[dict[str, Any]], first: int) -> None:
    one_by_one = ask(asked, first, burst=0)
    assert not one_by_one[2]
    assert ask(asked, first, burst=0.05)[:2] == one_by_one[:2]


def test_there_are_bursts() -> None:
    assert ask([{"seed": 1, "max_tokens": 90}, {"seed": 2}], 0, burst=0.05)[2]


def test_a_real_forward_pass_gives_the_same_in_bursts() -> None:
    model = tiny_model()
    prompts = [TOKENIZER.encode(text) for text in ("Once upon a time", "The", "def f(x):\n    return")]
    outcomes = []
    for burst, blocks in ((0.0, 256), (0.05, 256), (0.05, 15)):  # the last: no room to look far ahead
        with tiny(model, burst=burst, blocks=blocks) as llm:
            found = [list(llm.generate(prompts, max_tokens=48, seed=5, temperature=t, logprobs=2)) for t in (0.0, 1.0)]
            outcomes.append([[(r.ids, r.text, r.logprobs) for r in results] for results in found])
            assert_all_back(llm)
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_wish_ends_a_burst() -> None:
    rng = random.Random(1)
    endless = {"ids": [rng.randrange(1000, 20000) for _ in range(3000)], "delay_ms": 3}
    with scripted([endless, "Hi."], burst=60.0) as llm:
        handle = llm.chat_stream("x", thinking=False)
        while llm.engine.runner.fed < 100:  # type: ignore[attr-defined]
            time.sleep(0.01)
        start = time.monotonic()
        assert llm.chat("y").text == "Hi."
        handle.cancel()
        assert texts(list(handle))[2].reason == "cancelled"
        assert time.monotonic() - start < 4, "3,000 ids take 9 seconds or more"
        assert len(handle.ids()) > 20


def test_looking_ahead_takes_no_block_from_anybody() -> None:
    with scripted(["a b c d e f g h " * 20], blocks=60, block_size=4, burst=0.05, background=False) as llm:
        handles = [llm.chat_stream(f"Question {i}", max_tokens=40) for i in range(3)]
        run_all(llm)
        assert [texts(list(h))[2].usage.completion_tokens for h in handles] == [40] * 3
        assert llm.stats().preemptions == 0
        assert_all_back(llm)
