"""The native sampler against its numpy version: ids on many random rows and rules, on every instruction set."""

from typing import Any

import numpy as np
import pytest

from ponder.kernels import native
from ponder.kernels.reference import sampling
from ponder.kernels.sampling import MASKED, NOT_NUMBERS, Penalties, Sampled, SamplingRule, sample, uniform


def random_row(rng: np.random.Generator, size: int) -> np.ndarray:
    """Peaked, flat, full of ties, or mostly forbidden."""
    row = rng.normal(size=size) * rng.choice([0.1, 1, 4, 12])
    kind = rng.integers(4)
    if kind == 0:
        row = np.round(row)
    if kind == 1:
        row[rng.random(size) < rng.choice([0.5, 0.99])] = -np.inf
        row[rng.integers(size)] = 1
    if kind == 2:
        row[rng.integers(size, size=5)] += 15
    return row.astype(np.float32)


def random_rule(rng: np.random.Generator, vocab: int) -> SamplingRule:
    fields: dict[str, Any] = {
        "temperature": float(rng.choice([0.0, 0.1, 0.6, 0.7, 1.0, 2.0])),
        "top_k": int(rng.choice([0, 1, 5, 20, 20, 100, 2000])),
        "top_p": float(rng.choice([0.01, 0.5, 0.8, 0.95, 1.0, 1.0])),
        "min_p": float(rng.choice([0.0, 0.0, 0.0, 0.05, 1.0])),
        "seed": int(rng.integers(1 << 63)),
        "choice": int(rng.integers(3)),
    }
    ids = [int(i) for i in rng.integers(vocab, size=12)]
    if rng.random() < 0.2:
        fields["forbidden"] = tuple(ids[:3])
    if rng.random() < 0.2:
        fields["bias"] = {i: float(rng.normal() * 5) for i in ids[3:6]}
    if rng.random() < 0.2:
        penalties = Penalties(float(rng.choice([1.0, 1.3])), float(rng.normal()), float(rng.normal()), ids)
        for i in ids[4:9] + ids[4:6]:
            penalties.add(i)
        fields["penalties"] = penalties
    if rng.random() < 0.2:
        mask = np.packbits(rng.random(-(-vocab // 8) * 8) < rng.choice([0.01, 0.5]), bitorder="little")
        fields |= {"mask": mask, "fallback": tuple(ids[9:11])}
    if rng.random() < 0.2:
        fields["exempt"] = ids[11]
    return SamplingRule(vocab=vocab, **fields)


def compare(rng: np.random.Generator, rows: int, size: int) -> None:
    """A batch of random rows: the ids that numpy draws, row by row; where it finds none to sample, -1."""
    logits = np.stack([random_row(rng, size) for _ in range(rows)])
    vocab = size - int(rng.integers(min(size, 40)))
    rules = [random_rule(rng, vocab) for _ in range(rows)]
    positions = [int(p) for p in rng.integers(1 << 20, size=rows)]
    drawn = sample(logits.copy(), rules, positions)
    for n, (row, rule, position, found) in enumerate(zip(logits, rules, positions, drawn)):
        try:
            expected = sampling.sample(row, rule, position).id
        except AssertionError:
            expected = -1
        assert found == Sampled(expected), (n, rule)


def test_equal_to_numpy(isa: str) -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 127, 128, 129, 300, 5000):
        for _ in range(8):
            compare(rng, 12, size)


def test_equal_to_numpy_on_a_whole_vocabulary(isa: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        compare(rng, 8, 151_936)


@pytest.mark.slow
def test_equal_to_numpy_on_a_hundred_thousand_rows() -> None:
    rng = np.random.default_rng(2)
    for _ in range(1000):
        compare(rng, 100, int(rng.integers(50, 3000)))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_row_is_drawn_alike_alone_and_in_any_batch(threads: int) -> None:
    native.set_threads(threads)
    rng = np.random.default_rng(3)
    logits = np.stack([random_row(rng, 3000) for _ in range(40)])
    rules = [random_rule(rng, 3000) for _ in range(40)]
    together = sample(logits.copy(), rules, list(range(40)))
    alone = [sample(logits[i : i + 1].copy(), [rules[i]], [i])[0] for i in range(40)]
    assert together == alone


def test_uniform_numbers_are_numpys() -> None:
    for seed in (0, 1, -1, 2**64 - 2, 2**53 + 1, 42):
        for choice in (0, 7):
            for position in (0, 1, 2**40):
                assert uniform(seed, choice, position) == sampling.uniform(seed, choice, position)


def test_logprobs_are_those_before_any_rule(isa: str) -> None:
    rng = np.random.default_rng(4)
    for size in (50, 20_000):
        row = random_row(rng, size)
        likely = int(row.argmax())
        rule = SamplingRule(
            vocab=size - 3, temperature=0.7, top_k=20, seed=3, logprobs=5, forbidden=(likely,), bias={2: 9.0}
        )
        [mine] = sample(row.copy()[None], [rule], [8])
        theirs = sampling.sample(row, rule, 8)
        assert mine.id == theirs.id and mine.top[0][0] == likely and mine.logprob is not None
        assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-6)
        assert [i for i, _ in mine.top] == [i for i, _ in theirs.top]
        assert [v for _, v in mine.top] == pytest.approx([v for _, v in theirs.top], abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [5, 999])
def test_what_cannot_be_drawn_says_why_and_spoils_no_other_row(isa: str, bad: float, at: int) -> None:
    logits = np.zeros((3, 1000), np.float32)
    logits[1, at if bad != -np.inf else slice(None)] = bad
    for temperature in (0.0, 1.0):
        rule = SamplingRule(vocab=1000, temperature=temperature, top_k=20)
        ids = [s.id for s in sample(logits.copy(), [rule] * 3, [1, 2, 3])]
        assert ids[1] == (MASKED if bad == -np.inf else NOT_NUMBERS) < 0 <= min(ids[0], ids[2])


@pytest.mark.parametrize("size", [1, 3, 15, 17, 31, 127, 129, 143, 255])
def test_one_strange_number_at_every_place(isa: str, size: int) -> None:
    """Vector loops and what they leave over alike: NaN and +inf spoil their row, -inf only itself."""
    rule = SamplingRule(vocab=size, temperature=1.0, top_k=5)
    for bad in (np.nan, np.inf, -np.inf):
        logits = np.zeros((size, size), np.float32)
        np.fill_diagonal(logits, bad)
        ids = [s.id for s in sample(logits, [rule] * size, [0] * size)]
        if bad == -np.inf and size > 1:
            assert all(found >= 0 and found != place for place, found in enumerate(ids))
        else:
            assert ids == [MASKED if bad == -np.inf else NOT_NUMBERS] * size


def test_what_may_come_when_nothing_else_may_hides_no_damage() -> None:
    """A grammar that allows the end of the turn alone has an id for every row that is numbers, and for no other."""
    only = np.packbits(np.arange(8) == 3, bitorder="little")
    rule = SamplingRule(vocab=8, mask=only, fallback=(3,))
    for bad in (np.nan, np.inf):
        row = np.zeros((1, 8), np.float32)
        row[0, [3, 5]] = bad
        assert sample(row, [rule], [0])[0].id == NOT_NUMBERS
    assert sample(np.full((1, 8), -1e9, np.float32), [rule], [0])[0].id == 3
    assert sample(np.full((1, 8), -np.inf, np.float32), [rule], [0])[0].id == 3


def test_wrong_calls_are_refused() -> None:
    row, rule = np.zeros((1, 10), np.float32), SamplingRule(vocab=10)
    for logits, rules, positions in (
        (row, [rule], [1, 2]), (row, [], []), (np.zeros((2, 10), np.float32), [rule], [1]),
        (np.zeros((1, 9), np.float32), [rule], [1]),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            sample(logits, rules, positions)
    with pytest.raises(TypeError):
        sample(np.zeros((1, 10)), [rule], [1])  # type: ignore[arg-type]
    for wrong in (
        {"forbidden": (10,)},
        {"bias": {-1: 0.0}},
        {"exempt": 10},
        {"fallback": (99,)},
        {"temperature": -1.0},
    ):
        with pytest.raises(ValueError):
            SamplingRule(vocab=10, **wrong)
    with pytest.raises(ValueError, match="mask"):
        SamplingRule(vocab=17, mask=np.zeros(2, np.uint8))
