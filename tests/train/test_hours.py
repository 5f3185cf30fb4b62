"""Hours scale steps and never shapes, and the same command goes on with the same recipe."""

import io
import re

import pytest

from ponder.core.errors import UserError
from ponder.train.recipe import hours
from ponder.train.recipe.estimate import Line
from ponder.train.recipe.graph import nodes_of
from ponder.train.recipe.hours import in_hours
from ponder.train.recipe.read import recipe_of
from recipes import SHAPE, base, evaluated, recipe, text, tokenizer, tuned

SMALL = base(steps=None, tokens=3000, warmup=2, decay=4)
del SMALL["steps"]
WHOLE = recipe_of(recipe(text(), tokenizer(), SMALL, tuned(steps=10, decay=5), evaluated()), "test")


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """How often the machine was measured: each stage that learns takes ten seconds, evaluation as well."""
    times: list[int] = []

    def estimate(nodes, seconds):
        times.append(1)
        return [Line(n.stage.name, "", None, 100, None, 10.0 if n.stage.name in ("base", "tuned", "eval") else None,
                     False) for n in nodes]  # fmt: skip

    monkeypatch.setattr(hours, "estimate", estimate)
    return times


def test_steps_are_scaled_and_shapes_are_not(measured, tmp_path) -> None:
    said = io.StringIO()
    made = {s.name: s for s in in_hours(WHOLE, tmp_path, 50 / 3600, lambda t: print(t, file=said)).stages}
    assert (made["base"].tokens, made["base"].steps) == (6000, 20)  # 40 of 50 seconds for what takes 20
    assert (made["base"].warmup, made["base"].decay) == (4, 8)
    assert (made["tuned"].steps, made["tuned"].decay) == (20, 10)
    assert made["base"].model == {s.name: s for s in WHOLE.stages}["base"].model
    assert made["base"].model.hidden_size == SHAPE["hidden_size"] and made["eval"] == WHOLE.stages[-1]
    assert re.search(r"tuned +200 +20 s", said.getvalue())


def test_a_second_run_measures_nothing_and_has_the_same_stages(measured, tmp_path) -> None:
    first = in_hours(WHOLE, tmp_path, 0.01, lambda t: None)
    again = in_hours(WHOLE, tmp_path, 0.01, lambda t: None)
    assert nodes_of(first, tmp_path) == nodes_of(again, tmp_path) and len(measured) == 1
    in_hours(WHOLE, tmp_path, 0.02, lambda t: None)
    assert len(measured) == 2


def test_too_few_hours_are_refused(measured, tmp_path) -> None:
    with pytest.raises(UserError, match="evaluation alone takes"):
        in_hours(WHOLE, tmp_path, 9 / 3600, lambda t: None)
    (tmp_path / "hours.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        in_hours(WHOLE, tmp_path, 1.0, lambda t: None)
