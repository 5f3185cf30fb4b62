"""A ladder of models that take no time: all runs once, the law on disk, and recipes that ask it."""

import io
from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.train.recipe.read import read_recipe, recipe_of
from ponder.train.scale import ladder as ladder_module
from ponder.train.scale.by_law import parameters_of, settled
from ponder.train.scale.ladder import LAW, PAGE, Ladder, Size, climb, read_ladder, search
from ponder.train.scale.law import Run, read_law
from ponder.train.scale.trial import held_out, pattern_of, trained
from ponder.train.stages.pretrain import Pretrain, Shape
from recipes import base, recipe, text, tokenizer

SHARDS = {"name": "shards", "kind": "shards", "from": "text", "tokenizer": "tokenizer", "held_out": 0.2}


def shape(width: int) -> Shape:
    return Shape(hidden_size=width, layers=1, heads=1, kv_heads=1, head_dim=8, mlp=width, positions=128)


def pattern(**more):
    own = base(text=None, tokenizer=None, shards="shards", model={"hidden_size": 8, "layers": 1, "heads": 1,
               "kv_heads": 1, "head_dim": 8, "mlp": 8, "positions": 128}, warmup=1, decay=4) | more  # fmt: skip
    return {key: value for key, value in own.items() if value is not None}


SMALL = recipe_of(recipe(text(), tokenizer(), SHARDS, pattern()), "test")
SIZES = tuple(Size(model=shape(w), tokens=(t, 2 * t)) for w, t in ((8, 500), (16, 600), (24, 700), (32, 800)))


def test_a_ladder_foresees_what_obeys_its_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With trainings of an instant, whose loss has its bottom at a rate and a batch that follow from size and ids."""
    monkeypatch.setattr(ladder_module, "trained", lambda recipe, stage, out, log: stage)

    def loss(stage: Pretrain, most: int) -> dict[str, float]:
        assert stage.model is not None and 0 < stage.warmup < stage.decay < stage.steps
        n, d = parameters_of(stage.model), stage.steps * stage.batch_tokens
        off = np.log(stage.rate / (0.3 * n**-0.25)), np.log(stage.batch_tokens / (2 * d**0.5))
        return {"all": float(1.2 + 9 * n**-0.3 + 40 * d**-0.4 + 0.05 * off[0] ** 2 + 0.02 * off[1] ** 2)}

    monkeypatch.setattr(ladder_module, "held_out", loss)
    sizes = tuple(Size(model=shape(w), tokens=(w * 4000, w * 8000)) for w in (8, 16, 24, 32, 48, 96))
    outcome = climb(SMALL, Ladder(stage="base", rate=1e-1, batch=400, size=sizes), tmp_path, io.StringIO())
    assert abs(outcome.error) < 0.02
    last = outcome.measured
    assert last.rate == pytest.approx(0.3 * last.parameters**-0.25, rel=0.1)
    assert last.batch == pytest.approx(2 * last.tokens**0.5, rel=0.1)


@pytest.mark.slow
def test_a_ladder_is_climbed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rungs = Ladder(stage="base", rate=1e-2, batch=200, steps=0, size=SIZES, held_out=300)
    first = climb(SMALL, rungs, tmp_path, io.StringIO())
    assert len(first.law.runs) == 6 * 5  # three rates, and two batches besides
    assert first.foreseen == pytest.approx(first.law.loss(first.measured.parameters, 800))
    assert read_law(tmp_path / LAW) == first.law
    assert f"{100 * first.error:+.1f} %" in (tmp_path / PAGE).read_text()
    folder = next((tmp_path / "trials").glob(f"{first.law.runs[7].parameters}-*"))
    before = (folder / "metrics.jsonl").stat().st_mtime_ns
    monkeypatch.setattr(ladder_module, "held_out", lambda node, most: held_out(node, most) if node.finished else 1 / 0)
    assert climb(SMALL, rungs, tmp_path, io.StringIO()) == first
    assert (folder / "metrics.jsonl").stat().st_mtime_ns == before


def test_what_is_held_out_is_told_apart(tmp_path: Path) -> None:
    labelled = text() | {"labels": {"field": "stem"}}
    plan = recipe_of(recipe(labelled, tokenizer(), SHARDS, pattern()), "test")
    stage = plan.stages[-1]
    assert isinstance(stage, Pretrain)
    found = held_out(trained(plan, stage, tmp_path, io.StringIO()), 2000)
    assert found["all"] == found["field:stem"] == found["language:eng_Latn"] and 2 < found["all"] < 7


def test_a_search_goes_on_until_the_best_lies_inside() -> None:
    asked: list[tuple[float, int]] = []

    def measure(rate: float, batch: int) -> Run:
        asked.append((rate, batch))
        return Run(parameters=1, tokens=1, rate=rate, batch=batch, loss=abs(rate - 8) + abs(batch - 25) / 100)

    runs = search(measure, 1.0, 100, 5)
    best = min(runs, key=lambda run: run.loss)
    assert (best.rate, best.batch) == (8.0, 25) and len(asked) == len(set(asked)) == len(runs)
    assert {r for r, _ in asked} == {0.5, 1, 2, 4, 8, 16} and {b for _, b in asked} == {12, 25, 50, 100, 200}
    asked.clear()
    search(measure, 8.0, 100, 5, least=50)
    assert {b for _, b in asked} == {50, 100, 200}


def test_a_recipe_asks_the_law(tmp_path: Path) -> None:
    law = read_law(_a_law(tmp_path))
    stages = [
        pattern(rate="law", batch_tokens="law", tokens=4000, steps=None, warmup=0, decay=0),
        {"name": "more", "kind": "pretrain", "shards": "shards", "from": "base", "steps": 9, "batch_tokens": 100,
         "rate": "law"},
    ]  # fmt: skip
    (tmp_path / "r.toml").write_text(_toml(recipe(text(), tokenizer(), SHARDS, *stages, law="law.json")))
    *_, first, second = read_recipe(tmp_path / "r.toml").stages
    assert isinstance(first, Pretrain) and isinstance(second, Pretrain) and first.model is not None
    n = parameters_of(first.model)
    assert first.batch_tokens == law.batch(4000) and first.rate == pytest.approx(law.rate(n, 4000), rel=5e-3)
    assert second.rate == pytest.approx(law.rate(n, 900), rel=5e-3)
    with pytest.raises(UserError, match=r'law = "law\.json" at the top'):
        settled(stages, None, "r.toml")
    with pytest.raises(UserError, match="give tokens"):
        settled([pattern(rate="law", batch_tokens="law", steps=3)], tmp_path / "law.json", "r.toml")


def test_ladders_that_cannot_be_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="four sizes"):
        Ladder(stage="base", rate=1e-2, batch=200, size=SIZES[:3])
    with pytest.raises(UserError, match="from small to large"):
        Ladder(stage="base", rate=1e-2, batch=200, size=SIZES[::-1])
    with pytest.raises(UserError, match="reads shards"):
        climb(SMALL, Ladder(stage="text", rate=1e-2, batch=200, size=SIZES), tmp_path)
    (tmp_path / "r.toml").write_text(_toml(recipe(text())))
    with pytest.raises(UserError, match=r"no \[ladder\]"):
        read_ladder(tmp_path / "r.toml")


def _a_law(folder: Path) -> Path:
    runs = [Run(parameters=n, tokens=20 * n + d, rate=1e-3, batch=150, loss=1 + 9 / n + 1 / d) for n, d in
            ((500, 1), (600, 2), (700, 9), (700, 5), (900, 9))]  # fmt: skip
    ladder_module.fit(runs).save(folder / "law.json")
    return folder / "law.json"


def _toml(raw: dict) -> str:
    from test_resume import as_toml

    return as_toml(raw)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "recipes" / "ladder").glob("*.toml")))
def test_the_ladders_of_the_repository_can_be_read(path: Path) -> None:
    whole, rungs = read_ladder(path)
    assert pattern_of(whole, rungs.stage).steps > 0 and sum(len(size.tokens) for size in rungs.size[:-1]) >= 5
