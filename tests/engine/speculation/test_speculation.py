"""Speculation never changes the output: right, wrong and mixed drafts on real kernels, under every rule."""

import random
from collections import Counter
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from engine_tools import RememberingRunner, assert_all_back, run_all, scripted, tiny, tiny_model
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ponder.core.event import Event
from ponder.core.params import Grammar
from ponder.engine.llm import LLM
from ponder.engine.scheduling.runner import ModelRunner
from ponder.engine.scheduling.sequence import Sequence
from ponder.engine.speculation.draft import Draft
from ponder.engine.speculation.draft_model import DraftModel
from ponder.engine.speculation.speculation import Speculation
from ponder.engine.speculation.step_time import StepTimeModel
from ponder.model.model import Model


@dataclass
class Prompter:
    """A drafter that knows what will be sampled, from a run without it, and drafts what it likes: an id is right with
    probability `honesty`. `known[prompt, choice]` are the ids of that run."""

    known: dict[tuple[tuple[int, ...], int], tuple[int, ...]]
    honesty: float
    longest: int = 8
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    here: set[Sequence] = field(default_factory=set)
    learned: list[int] = field(default_factory=list)

    def draft(self, sequences: list[Sequence]) -> list[list[int]]:
        self.here |= set(sequences)
        return [self._ahead(s) for s in sequences]

    def _ahead(self, sequence: Sequence) -> list[int]:
        at = len(sequence.ids) - sequence.prompt
        coming = self.known[tuple(sequence.ids[: sequence.prompt]), sequence.choice][at:]
        count = self.rng.randint(0, self.longest)
        ids = [id_ if self.rng.random() < self.honesty else self.rng.randrange(151_936) for id_ in coming[:count]]
        return ids + [self.rng.randrange(151_936) for _ in range(count - len(ids))]  # past the end

    def learn(self, sequence: Sequence, sampled: list[int]) -> None:
        assert not sequence.finished
        self.learned.append(len(sampled))

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
class Fixed(StepTimeModel):
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

    def learn(self, sequence: Sequence, draft: Draft, sampled: list[int]) -> None:
        super().learn(sequence, draft, sampled)
        for id_, came in zip(draft.ids, sampled):
            self.right += id_ == came
            self.wrong += id_ != came


def modelled(of: Model, *, blocks: int = 256) -> tuple[Speculation, Watched]:
    """This model drafts; its passes cost nothing."""
    draft = Watched(ModelRunner(of, max_batch=8, blocks=blocks, kv_dtype="f32", block_size=16), Fixed(step=0.0))
    return Speculation(draft, step_times=Fixed()), draft


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
@example(dtype="int8", asked=[1, 2], seed=97, blocks=12)  # more was right than was asked of the large model
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


# -- the machinery around it -----------------------------------------------------------------------------------------


def test_scripted_replies_are_the_same_and_the_cache_holds_what_was_said() -> None:
    """RememberingRunner compares the cache with the sequence before every logits, drafts and rejected ids included."""
    replies = [
        "<think>\nTo and fro, to and fro, to and fro.\n</think>\n\nTo and fro, to and fro, to and fro it goes.",
        {"text": "<think>\nRound and round and round and round", "eos": False, "answer": "Round and round it goes."},
        'Here: <tool_call>\n{"name": "f", "arguments": {"n": 1}}\n</tool_call>',
    ]
    said = []
    for drafter in (None, Speculation(step_times=Fixed())):
        with scripted(replies, background=False, blocks=60, drafter=drafter) as llm:
            handles = [llm.chat_stream(f"Question {n}", seed=n, budget=[None, 9][n % 2]) for n in range(9)]
            run_all(llm)
            said.append([list(handle) for handle in handles])
            steps, stats = llm.stats().steps, llm.stats()
            assert_all_back(llm)
    assert said[0] == said[1]
    assert stats.steps <= steps and stats.accepted > 50
    timings = [handle.timings() for handle in handles]
    assert sum(t.accepted for t in timings) == stats.accepted and sum(t.drafted for t in timings) == stats.drafted


def test_a_grammar_drafts_what_it_leaves_no_choice_about() -> None:
    schema = OPTIONS[6]["json_schema"]
    request = [("x", {"json_schema": schema, "seed": 3, "max_tokens": 60})]
    with tiny(model("f32"), background=False) as llm:
        plain = ask(llm, request)
    with tiny(model("f32"), background=False, drafter=Speculation(step_times=Fixed())) as llm:
        assert ask(llm, request) == plain
        assert llm.stats().accepted >= 3, "the name of the property"


def test_aborts_in_the_middle_of_drafts_leak_nothing() -> None:
    rng = random.Random(11)
    speculation, draft = modelled(model("f32"), blocks=40)
    with tiny(model("f32"), blocks=60, max_batch=6, chunk=40, background=False, drafter=speculation) as llm:
        running: list[Any] = []
        for _ in range(60):
            while len(running) < 8:
                options = {"seed": rng.randrange(99), "max_tokens": rng.randint(5, 60), "n": rng.choice([1, 2])}
                running.append(llm.generate_stream(PROMPTS[rng.randrange(3)] * rng.randint(1, 4), **options))
            for _ in range(rng.randint(0, 3)):
                llm.engine.step()
            handle = running.pop(rng.randrange(len(running)))
            handle.cancel()
            llm.engine.step()
            assert all(s.finished for s in handle._sequences), "gone within one step"
        for handle in running:
            handle.cancel()
        run_all(llm)
        assert_all_back(llm)
        assert llm.stats().accepted > 20 and llm.stats().failed == 0
    draft.pool.check()
    assert draft.pool.available == draft.pool.count


def test_a_poisoned_request_takes_no_drafted_one_with_it() -> None:
    with scripted(["To and fro, " * 20], background=False, burst=0, drafter=Speculation(step_times=Fixed())) as llm:
        good, bad = llm.generate_stream("a", max_tokens=40), llm.generate_stream("b", max_tokens=40)
        for _ in range(6):
            llm.engine.step()
        victim = bad._sequences[0]
        runner = llm.engine.runner
        assert isinstance(runner, RememberingRunner)
        runner.refuse = lambda sequence: sequence is victim
        run_all(llm)
        assert len(list(good)) > 10
        with pytest.raises(RuntimeError, match="poisoned"):
            list(bad)
        assert_all_back(llm)


@pytest.mark.slow
def test_the_distribution_is_unchanged() -> None:
    """Redundant where every id is the same, and therefore a check of exactly that claim by other means: the first two
    sampled ids over thousands of seeds, with and without drafts, by a chi-square test of homogeneity."""
    counts: list[Counter[tuple[int, ...]]] = []
    for drafter, first in ((None, 0), (modelled(model("int4"))[0], 10_000)):  # other seeds: independent samples
        with tiny(model("f32"), max_batch=32, background=False, drafter=drafter) as llm:
            requests = [
                llm.generate_stream("One, two, one, two, one", temperature=0.5, top_k=3, max_tokens=4, seed=first + n)
                for n in range(2000)
            ]
            run_all(llm)
            counts.append(Counter(handle.ids()[1:3] for handle in requests))
            if drafter is not None:
                assert llm.stats().accepted > 500
    both = counts[0] + counts[1]
    rare = {pair for pair, n in both.items() if n < 10}
    tables = [[c[p] for p in sorted(both.keys() - rare)] + [sum(c[p] for p in rare)] for c in counts]
    columns = [column for column in zip(*tables) if sum(column)]
    assert len(columns) >= 5
    chi2 = sum((n - sum(column) / 2) ** 2 / (sum(column) / 2) for column in columns for n in column)
    free = len(columns) - 1
    assert chi2 < free + 4 * (2 * free) ** 0.5 + 6, (chi2, free)  # far beyond the 99.9 % quantile
