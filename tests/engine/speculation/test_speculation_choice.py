"""What speculation is decided by: earlier places of a text, measured costs, counted chances."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.engine.scheduling.sequence import Sequence
from ponder.engine.speculation.acceptance import AcceptanceRate
from ponder.engine.speculation.draft import LONGEST_DRAFT, Draft, best_lengths
from ponder.engine.speculation.prompt_lookup import LONGEST, PromptLookup
from ponder.engine.speculation.speculation import Speculation
from ponder.engine.speculation.step_time import STALE, StepTimeModel


def looked_up(ids: list[int], count: int = 4) -> tuple[list[int], int]:
    found, agree = PromptLookup().find(ids, count)
    return list(found), agree


def test_the_longest_agreement_wins_and_the_newest_of_equals() -> None:
    assert looked_up([1, 2, 3, 9, 7, 2, 3, 8, 1, 2, 3]) == ([9, 7, 2, 3], 3)
    assert looked_up([2, 3, 9, 0, 2, 3, 8, 1, 2, 3], 2) == ([8, 1], 2)
    assert looked_up([1, 2, 3, 4]) == ([], 0) == looked_up([1]) == looked_up([1, 1])
    assert looked_up([1, 2, 1]) == ([], 0), "one id alone says nothing"


def test_a_repetition_goes_on() -> None:
    assert looked_up([5, 1, 2, 3, 1, 2, 3], 7) == ([1, 2, 3, 1, 2, 3, 1], 3)
    assert looked_up([4, 4, 4], 3) == ([4, 4, 4], 2)


@given(st.lists(st.integers(0, 3), max_size=80), st.integers(1, 5))
def test_added_id_by_id_or_at_once(ids: list[int], count: int) -> None:
    lookup = PromptLookup()
    for end in range(1, len(ids) + 1):
        found, agree = lookup.find(ids[:end], count)
        assert (list(found), agree) == looked_up(ids[:end], count)
        if not agree:
            continue
        assert agree <= LONGEST and len(found) == count
        places = [p for p in range(agree, end) if ids[p - agree : p] == ids[end - agree : end]]
        assert any((ids[p:end] + list(found))[:count] == list(found) for p in places)


def test_costs_follow_the_pace_of_the_machine_and_keep_the_ratios() -> None:
    step_times, rng = StepTimeModel(), random.Random(3)
    truth = {1: 10.0, 3: 11.0, 9: 20.0}
    for step in range(600):
        slower = 1.0 if step < 300 else 2.0
        rows = rng.choice([1, 3, 9])
        hiccup = 10.0 if rng.random() < 0.01 else 1.0
        step_times.note(rows, truth[rows] * slower * hiccup * rng.uniform(0.95, 1.05))
    for rows, seconds in truth.items():
        assert step_times.seconds(rows) == pytest.approx(2 * seconds, rel=0.15)
        assert step_times.seconds(rows) / step_times.seconds(1) == pytest.approx(seconds / 10, rel=0.08)
    assert step_times.seconds(3) < step_times.seconds(6) < step_times.seconds(9) < step_times.seconds(12)


def test_a_cost_that_was_not_seen_for_long_is_unknown_again() -> None:
    step_times = StepTimeModel()
    assert not step_times.knows(1) and step_times.seconds(1) == 0
    for rows, seconds in [(1, 1.0), (5, 9.0), *[(1, 1.0)] * (2 * STALE)]:
        step_times.note(rows, seconds)
    assert step_times.seconds(5) < 2, "one bad moment does not rule a size out for ever"
    assert step_times.knows(1)


def draft(*chances: float) -> Draft:
    made = Draft()
    for chance in chances:
        made.add(0, 0, chance)
    return made


def step_times_of(seconds: dict[int, float]) -> StepTimeModel:
    step_times = StepTimeModel()
    for rows, value in seconds.items():
        step_times.note(rows, value)
    return step_times


FLAT = {rows: 1 + 0.05 * rows for rows in range(1, 80)}
LINEAR = {rows: float(rows) for rows in range(1, 80)}


@pytest.mark.parametrize(
    ("seconds", "drafts", "expected"),
    [
        (FLAT, [draft(*[0.95] * 8)], [8]),
        (FLAT, [draft(0.9, 0.9, 0.01, 0.9)], [2]),
        (FLAT, [draft(0.03, 0.9)], [0]),
        (FLAT, [draft(), draft(0.9, 0.9), draft(0.02)], [0, 2, 0]),
        (LINEAR, [draft(*[0.99] * 8)], [0]),
        (LINEAR, [draft(*[0.99] * 8) for _ in range(8)], [0] * 8),
        ({1: 1, 2: 1.3, 3: 3, 4: 3.1}, [draft(0.9, 0.99, 0.99)], [1]),
    ],
    ids=str,
)
def test_rows_are_added_where_they_pay(seconds: dict[int, float], drafts: list[Draft], expected: list[int]) -> None:
    step_times = step_times_of(seconds)
    lengths, rate = best_lengths(drafts, step_times)
    assert lengths == expected
    plain = len(drafts) / step_times.seconds(len(drafts))
    assert rate > plain if any(lengths) else rate == plain


@given(
    st.lists(st.lists(st.floats(0, 1), max_size=LONGEST_DRAFT), min_size=1, max_size=3),
    st.lists(st.floats(0.01, 1), min_size=30, max_size=30),
)
def test_the_choice_is_the_best_of_all(chances: list[list[float]], steps: list[float]) -> None:
    """Against trying every total, for costs of any shape: at most the margin is given away."""
    step_times, total = StepTimeModel(), 1.0
    for rows, more in enumerate(steps, 1):
        step_times.note(rows, total := total + more)
    drafts = [draft(*row) for row in chances]
    lengths, rate = best_lengths(drafts, step_times)
    ranked = sorted((c for g in drafts for c in g.chances), reverse=True)
    rates = [
        (len(drafts) + sum(ranked[:n])) / step_times.seconds(len(drafts) + n) for n in range(len(ranked) + 1)
    ]  # fmt: skip
    assert rate == pytest.approx(max(rates), rel=0.021)
    expected = sum(sum(g.chances[:n]) for g, n in zip(drafts, lengths))
    assert rate == pytest.approx((len(drafts) + expected) / step_times.seconds(len(drafts) + sum(lengths)))


@dataclass
class Reader:
    """What `Speculation` reads of a RequestState."""

    remaining: int

    def forced_tokens(self) -> list[int]:
        return []


def gain(text: list[int], slope: float, seed: int) -> float:
    """Ids per second with speculation over ids per second without, for a text that comes whatever is guessed. A row
    more costs `slope` of a step, and measurements are off by a third."""
    rng, speculation, spent = random.Random(seed), Speculation(), 0.0
    sequence = Sequence(0, text[:1], Reader(0), None)  # type: ignore[arg-type]
    while (at := len(sequence.ids)) < len(text):
        sequence.state.remaining = len(text) - at  # type: ignore[misc]
        (draft,) = speculation.draft([sequence])
        right = next((n for n, id_ in enumerate(draft) if id_ != text[at + n]), len(draft))
        step = 1 + slope * len(draft)
        spent += step
        speculation.measured(1 + len(draft), 0.02 * step * rng.lognormvariate(0, 0.3))
        sequence.ids += text[at : at + right + 1]
        speculation.learn(sequence, text[at : at + right + 1])
    return (len(text) - 1) / spent


@pytest.mark.parametrize("slope", [0.05, 0.1, 0.3])
def test_next_to_nothing_is_lost_on_a_text_without_sense_and_much_won_on_a_copy(slope: float) -> None:
    rng = random.Random(5)
    noise = [[rng.randrange(letters) for _ in range(600)] for letters in (20, 40, 100, 5000)]  # few: many false leads
    for text in noise:
        assert sum(gain(text, slope, seed) for seed in range(5)) / 5 > 0.98
    ideal = 1 / (1 / 3 + 2 / 3 * (1 + LONGEST_DRAFT * slope) / (1 + LONGEST_DRAFT))  # a third new, the rest full drafts
    assert gain(noise[3][:200] * 3, slope, 0) > 0.9 * ideal


def test_chances_follow_a_text_that_begins_to_copy_and_one_that_ends() -> None:
    shared = AcceptanceRate((0.3, 0.5))
    mine = AcceptanceRate(shared)
    assert mine.of(1) == pytest.approx(0.5)
    for _ in range(8):
        mine.note(1, True)
    assert mine.of(1) > 0.85 and mine.of(0) == pytest.approx(0.3)
    assert 0.5 < AcceptanceRate(shared).of(1) < 0.8, "others begin with what was learned, carefully"
    for _ in range(12):
        mine.note(1, False)
    assert mine.of(1) < 0.4
