"""Speculation never changes the output: right, wrong and mixed drafts on real kernels, under every rule."""

import random
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from engine_tools import assert_all_back, run_all, tiny, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.event import Event
from ponder.core.params import Grammar
from ponder.engine.llm import LLM
from ponder.engine.runner import ModelRunner
from ponder.engine.sequence import Sequence
from ponder.engine.speculation.costs import StepCosts
from ponder.engine.speculation.draft_model import DraftModel
from ponder.engine.speculation.guess import Guess
from ponder.engine.speculation.speculation import Speculation
from ponder.model.model import Model


@dataclass
class Prompter:
    """A drafter that knows what will be drawn, from a run without it, and drafts what it likes: an id is right with
    probability `honesty`. `known[prompt, choice]` are the ids of that run."""

    known: dict[tuple[tuple[int, ...], int], tuple[int, ...]]
    honesty: float
    longest: int = 8
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    here: set[Sequence] = field(default_factory=set)
    learned: list[int] = field(default_factory=list)

    def draft(self, sequences: list[Sequence]) -> list[list[int]]:
        self.here |= set(sequences)
        return [self.guess(s) for s in sequences]

    def guess(self, sequence: Sequence) -> list[int]:
        at = len(sequence.ids) - sequence.prompt
        coming = self.known[tuple(sequence.ids[: sequence.prompt]), sequence.choice][at:]
        count = self.rng.randint(0, self.longest)
        ids = [id_ if self.rng.random() < self.honesty else self.rng.randrange(151_936) for id_ in coming[:count]]
        return ids + [self.rng.randrange(151_936) for _ in range(count - len(ids))]  # past the end

    def learn(self, sequence: Sequence, drawn: list[int]) -> None:
        assert not sequence.finished
        self.learned.append(len(drawn))

    def measured(self, rows: int, seconds: float) -> None:
        assert rows > 0 and seconds > 0

    def forget(self, sequence: Sequence) -> None:
        assert sequence.finished
        self.here.discard(sequence)


@cache
def model(dtype: str) -> Model:
    return tiny_model(dtype=dtype)


PROMPTS = ["One, two, one, two, one", "def add(a, b):\n    return a + b\n\n\ndef add(a, b):", "?"]
OPTIONS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 1.0, "top_k": 5, "top_p": 0.9},
    {"temperature": 0.7, "top_k": 0, "min_p": 0.05, "logprobs": 3},
    {"temperature": 0.9, "presence_penalty": 1.0, "frequency_penalty": 0.5, "repetition_penalty": 1.2},
    {"temperature": 0.0, "repetition_penalty": 1.3, "logit_bias": {11: 3.0}},
    {"grammar": Grammar("regex", "(ab|cd, ){3,9}"), "temperature": 1.0},
    {"json_schema": {"type": "object", "properties": {"temperature_in_kelvin": {"type": "integer", "maximum": 500}},
                     "required": ["temperature_in_kelvin"], "additionalProperties": False}},
    {"stop": ("a", "or"), "temperature": 1.0},
    {"budget": 5, "temperature": 1.0},
    {"budget": 0, "temperature": 0.0},
    {"n": 2, "temperature": 1.0, "logprobs": 0},
]  # fmt: skip


def ask(llm: LLM, requests: SequenceOf[tuple[str, dict[str, Any]]]) -> dict[Any, Any]:
    """(prompt ids, choice) -> (ids, events) of all, computed together."""
    handles = []
    for prompt, options in requests:
        text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        if "budget" in options:
            text += "<think>\n"
        handles.append(llm.generate_stream(text, allow_control=True, **options))
    run_all(llm)
    said: dict[Any, Any] = {}
    for handle in handles:
        events: list[list[Event]] = [[] for _ in range(len(handle))]
        for choice, event in handle.merged():
            events[choice].append(event)
        for choice, found in enumerate(events):
            said[handle.prompt_ids(), choice] = (handle.ids(choice), found)
    return said


@settings(max_examples=25, deadline=None)
@given(
    dtype=st.sampled_from(["f32", "int8", "bf16"]),
    kv=st.sampled_from(["f32", "bf16"]),
    honesty=st.sampled_from([0.0, 0.6, 0.95, 1.0]),
    asked=st.lists(st.sampled_from(range(len(OPTIONS))), min_size=1, max_size=4, unique=True),
    max_tokens=st.integers(1, 40),
    seed=st.integers(0, 1000),
    blocks=st.sampled_from([14, 256]),
)
def test_any_draft_leaves_the_output_as_it_is(
    dtype: str, kv: str, honesty: float, asked: list[int], max_tokens: int, seed: int, blocks: int
) -> None:
    requests = [
        (f"{n}: {PROMPTS[(n + seed) % 3]}", {"seed": seed, "max_tokens": max_tokens, **OPTIONS[n]}) for n in asked
    ]
    with tiny(model(dtype), kv=kv, blocks=blocks, background=False) as llm:
        plain = ask(llm, requests)
        assert llm.stats().drafted == 0
        plain_steps = llm.stats().steps
    prompter = Prompter({key: ids for key, (ids, _) in plain.items()}, honesty)
    with tiny(model(dtype), kv=kv, blocks=blocks, drafter=prompter, background=False) as llm:
        drafted = ask(llm, requests)
        stats = llm.stats()
        assert_all_back(llm)
    assert {key: ids for key, (ids, _) in drafted.items()} == {key: ids for key, (ids, _) in plain.items()}
    if blocks > 14:  # else preemptions differ, and with them how much came from the cache
        assert drafted == plain
    assert stats.accepted <= stats.drafted and not prompter.here
    assert honesty > 0 or stats.accepted == 0
    if honesty == 1 and blocks > 14 and max(len(ids) for ids, _ in plain.values()) > 20:
        assert stats.accepted > 4 and stats.steps < plain_steps


# -- a draft model ---------------------------------------------------------------------------------------------------


@dataclass
class Fixed(StepCosts):
    """The same for any number of rows: whatever has a chance is drafted."""

    step: float = 1.0

    def knows(self, rows: int) -> bool:
        return True

    def seconds(self, rows: int) -> float:
        return self.step


@dataclass
class Watched(DraftModel):
    right: int = 0
    wrong: int = 0

    def learn(self, sequence: Sequence, guess: Guess, drawn: list[int]) -> None:
        super().learn(sequence, guess, drawn)
        for id_, came in zip(guess.ids, drawn):
            self.right += id_ == came
            self.wrong += id_ != came


def modelled(of: Model, *, blocks: int = 256) -> tuple[Speculation, Watched]:
    """This model drafts; its passes cost nothing."""
    draft = Watched(ModelRunner(of, max_batch=8, blocks=blocks, kv_dtype="f32", block_size=16), Fixed(step=0.0))
    return Speculation(draft, costs=Fixed()), draft


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 1.0, "top_k": 50}], ids=str)
def test_a_draft_model_that_is_the_model_is_always_right(options: dict[str, Any]) -> None:
    """The same random numbers: sampled ids are foreseen too. Its cache follows prompts, drafts and turns."""
    requests = [(PROMPTS[n % 3] + f" {n}" * 30 * n, {"seed": n, "max_tokens": 60, **options}) for n in range(4)]
    with tiny(model("f32"), chunk=64, background=False) as llm:
        plain, steps = ask(llm, requests), llm.stats().steps
    speculation, draft = modelled(model("f32"))
    with tiny(model("f32"), chunk=64, background=False, drafter=speculation) as llm:
        assert ask(llm, requests) == plain
        stats = llm.stats()
        assert draft.right > 100 and draft.wrong == 0 and stats.steps < steps / 2
        again = ask(llm, requests)
        assert {k: ids for k, (ids, _) in again.items()} == {k: ids for k, (ids, _) in plain.items()}
        assert_all_back(llm)
    draft.pool.check()
    assert draft.pool.available == draft.pool.count


@settings(max_examples=15, deadline=None)
@given(
    dtype=st.sampled_from(["int8", "int4"]),
    asked=st.lists(st.sampled_from(range(len(OPTIONS))), min_size=1, max_size=4, unique=True),
    seed=st.integers(0, 200),
    blocks=st.sampled_from([6, 12, 256]),
)
def test_a_draft_model_that_errs_leaves_the_output_as_it_is(
    dtype: str, asked: list[int], seed: int, blocks: int
) -> None:
    """A coarser copy drafts, for some blocks with too small a cache."""
    requests = [
        (f"{n}: {PROMPTS[(n + seed) % 3]}" + " and" * seed, {"seed": seed, "max_tokens": 40, **OPTIONS[n]})
        for n in asked
    ]  # fmt: skip
    with tiny(model("f32"), background=False) as llm:
        plain = ask(llm, requests)
    speculation, draft = modelled(model(dtype), blocks=blocks)
    with tiny(model("f32"), background=False, drafter=speculation) as llm:
        drafted = ask(llm, requests)
        assert_all_back(llm)
    assert {key: ids for key, (ids, _) in drafted.items()} == {key: ids for key, (ids, _) in plain.items()}
    draft.pool.check()
    assert draft.pool.available == draft.pool.count
