"""How often documents are read, and in which order."""

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.data.shards.mix import Mix
from ponder.data.shards.order import Reading
from ponder.data.shards.read import Pieces
from ponder.data.shards.write import Group

GROUPS = [
    Group("web", "eng_Latn", (("field", "general"),)),
    Group("web", "swh_Latn", (("field", "general"),)),
    Group("tasks", "eng_Latn", (("field", "stem"),)),
]


def pieces(*counts: int, length: int = 10) -> Pieces:
    """So many of each group."""
    group = np.repeat(np.arange(len(counts)), counts)
    return Pieces(np.zeros_like(group), np.arange(len(group)) * length, np.full(len(group), length), group)


def epochs(mix: Mix, some: Pieces, budget: float) -> list[float]:
    repeats = mix.repeats(some, GROUPS, budget, 10)
    return [float(repeats[some.group == n][0]) for n in range(len(GROUPS))]


def test_weights_are_epochs_and_a_document_has_the_product_of_those_that_fit() -> None:
    some = pieces(100, 100, 100)
    assert epochs(Mix(), some, 3000) == pytest.approx([1, 1, 1])
    assert epochs(Mix(weights={"field:stem": 3.0}), some, 5000) == pytest.approx([1, 1, 3])
    both = Mix(weights={"language:eng_Latn": 2.0, "source:tasks": 2.0, "language:swh_Latn": 0.0})
    assert epochs(both, some, 6000) == pytest.approx([2, 0, 4])


def test_temperature_lifts_small_languages() -> None:
    some = pieces(800, 100, 100)
    share = np.multiply(epochs(Mix(temperature=0.5), some, 10_000), [800, 100, 100])
    assert share[1] / (share[0] + share[2]) == pytest.approx((1 / 9) ** 0.5)
    flat = np.multiply(epochs(Mix(temperature=0.0), some, 10_000), [800, 100, 100])
    assert flat[1] / flat.sum() == pytest.approx(0.5)


def test_who_reaches_its_limit_leaves_the_rest_to_the_others() -> None:
    some = pieces(100, 10, 100)
    mix = Mix(weights={"language:swh_Latn": 100.0}, epochs=4.0, language_epochs={"swh_Latn": 8.0})
    assert epochs(mix, some, 4800) == pytest.approx([2, 8, 2])
    with pytest.raises(UserError, match=r"leave 8,800 of 20,000 ids"):
        epochs(mix, some, 20_000)


@pytest.mark.parametrize(
    ("mix", "said"),
    [
        ({"weights": {"field:stam": 2.0}}, "did you mean field:stem"),
        ({"weights": {"language:eng_Latn": 0.0, "language:swh_Latn": 0.0}}, "nothing is left to learn from"),
        ({"weights": {"field:stem": -1.0}}, "numbers from 0 on"),
        ({"temperature": 2.0}, "temperature is 0 to 1"),
        ({"epochs": 0.0}, "above 0"),
        ({"long": 1.5}, "0 to 1"),
    ],
)
def test_a_mixture_that_cannot_be(mix: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Mix(**mix).repeats(pieces(5, 5, 5), GROUPS, 100, 10)


def test_long_documents_make_three_quarters_and_short_ones_nothing() -> None:
    lengths = np.repeat([4, 16, 63, 64, 128], 50)  # of 128: below an eighth, an eighth, below a half, half, all
    some = Pieces(np.zeros(250, int), np.zeros(250, int), lengths, np.zeros(250, int))
    repeats = Mix(long=0.75).repeats(some, GROUPS, 10_000, 128)
    read = repeats * lengths
    assert not read[:50].any()
    assert read[150:].sum() == pytest.approx(7500) and read[50:150].sum() == pytest.approx(2500)
    with pytest.raises(UserError, match="no document has half of a sequence of 1024"):
        Mix(long=0.5).repeats(some, GROUPS, 100, 1024)


def read(mix: Mix, some: Pieces, steps: int, batch: int, seed: int = 1) -> Reading:
    return Reading.of(some, GROUPS, mix, steps=steps, batch=batch, longest=10, seed=seed)


def test_steps_have_the_ids_that_they_should_and_a_seed_fixes_them() -> None:
    some = pieces(300, 100, 50)
    reading = read(Mix(weights={"field:stem": 4.0}), some, steps=20, batch=300)
    seen = [reading.step(n).tolist() for n in range(20)]
    assert {len(step) for step in seen} == {30}
    assert seen == [read(Mix(weights={"field:stem": 4.0}), some, 20, 300).step(n).tolist() for n in range(20)]
    assert seen[0] != read(Mix(weights={"field:stem": 4.0}), some, 20, 300, seed=2).step(0).tolist()
    often = np.bincount(np.concatenate(seen), minlength=450)
    assert often[:400].mean() == pytest.approx(1, abs=0.05) and often[400:].mean() == pytest.approx(4, abs=0.2)
    assert often[:400].max() <= 2 and often[400:].min() >= 3


def test_copies_of_a_document_lie_apart() -> None:
    reading = read(Mix(), pieces(40, 0, 0), steps=40, batch=40)  # four times each
    for quarter in range(4):
        assert sorted(np.concatenate([reading.step(10 * quarter + n) for n in range(10)])) == list(range(40))


def test_a_step_reads_something_even_where_pieces_are_longer_than_it() -> None:
    reading = read(Mix(), pieces(3, 0, 0), steps=7, batch=4)
    assert all(len(reading.step(n)) == 1 for n in range(7))
    with pytest.raises(UserError, match="nothing to learn from"):
        read(Mix(), pieces(0, 0, 0), 1, 1)
