"""Mixtures by proxies: what lowers the loss is found, foreseen and checked; proxies are not trained twice."""

import io
from pathlib import Path

import pytest
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.data.shards.mix import Mix
from ponder.train.recipe.read import recipe_of
from ponder.train.scale import mixing as mixing_module
from ponder.train.scale.mixing import FOUND, PAGE, Mixing, look_for, read_mixing, shares
from ponder.train.scale.trial import trained
from ponder.train.stages.pretrain import Pretrain
from recipes import recipe, text, tokenizer

SHAPE = {"hidden_size": 8, "layers": 1, "heads": 1, "kv_heads": 1, "head_dim": 8, "mlp": 8, "positions": 128}
STAGES = [
    text(name="a", labels={"field": "a"}), text(name="b", tasks=["reverse"], levels={}, labels={"field": "b"}),
    {"name": "text", "kind": "join", "from": ["a", "b"]}, tokenizer(),
    {"name": "shards", "kind": "shards", "from": "text", "tokenizer": "tokenizer", "held_out": 0.2},
    {"name": "base", "kind": "pretrain", "shards": "shards", "steps": 6, "batch_tokens": 256, "sequence": 64,
     "model": SHAPE},
]  # fmt: skip
SMALL = recipe_of(recipe(*STAGES), "test")
MIXING = Mixing(stage="base", domains=("field:a", "field:b"), runs=6, held_out=500,
                levels={"source": ("source:a",), "instance": ("field:a", "field:b")})  # fmt: skip


def test_the_best_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With trainings of an instant: what is read of a kind lowers its loss; b is worth four times as much as a."""
    monkeypatch.setattr(mixing_module, "trained", lambda recipe, stage, out, log: stage)

    def share(stage: Pretrain, own: Pretrain, keys) -> dict[str, float]:
        weights = {key: stage.mix.weights.get(key, 1.0) for key in ("field:a", "field:b", "source:a")}
        a, b = 0.5 * weights["field:a"] * weights["source:a"], 0.5 * weights["field:b"]
        whole = {"field:a": a / (a + b), "field:b": b / (a + b), "source:a": a / (a + b)}
        return {key: whole[key] for key in keys} | ({"rest": b / (a + b)} if "source:a" in keys else {})

    def losses(stage: Pretrain, most: int) -> dict[str, float]:
        of = share(stage, stage, ("field:a", "field:b"))
        return {"field:a": 3 - 0.1 * of["field:a"] ** 0.5, "field:b": 3 - 0.4 * of["field:b"] ** 0.5}

    monkeypatch.setattr(mixing_module, "shares", share)
    monkeypatch.setattr(mixing_module, "held_out", losses)
    mixing = Mixing(stage="base", domains=MIXING.domains, runs=12, levels=MIXING.levels)
    outcome = look_for(SMALL, mixing, tmp_path, io.StringIO())
    for level in outcome.levels.values():
        assert level.best.mean < outcome.uniform.mean - 0.01
        assert level.mean == pytest.approx(level.best.mean, abs=0.02) and level.error < 0.02
    weights = outcome.levels["instance"].best.weights
    assert weights["field:b"] > 2 * weights["field:a"]
    assert (tmp_path / PAGE).read_text().count("\n| ") == 4 and (tmp_path / FOUND).exists()


def test_shares_are_those_of_what_is_read(tmp_path: Path) -> None:
    stage = SMALL.stages[-1]
    assert isinstance(stage, Pretrain)
    node = trained(SMALL, stage, tmp_path, io.StringIO())
    plain = shares(node, stage, ("field:a", "field:b"))
    assert sum(plain.values()) == pytest.approx(1) and set(plain) == {"field:a", "field:b"}
    more = shares(node, replace(stage, mix=Mix(weights={"field:a": 3.0})), ("field:a",))
    odds = plain["field:a"] / plain["field:b"]
    assert more["field:a"] / more["rest"] == pytest.approx(3 * odds)


@pytest.mark.slow
def test_proxies_are_trained_once(tmp_path: Path) -> None:
    first = look_for(SMALL, MIXING, tmp_path, io.StringIO())
    assert {name: len(level.proxies) for name, level in first.levels.items()} == {"source": 6, "instance": 6}
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("proxies/*/metrics.jsonl")}
    assert len(times) == 15  # two levels, their checks, and the text as it is
    assert look_for(SMALL, MIXING, tmp_path, io.StringIO()) == first
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5 runs or more"):
        Mixing(stage="base", domains=("field:a",), levels={"x": ("field:a", "field:b")}, runs=4)
    with pytest.raises(UserError, match="name some of each"):
        Mixing(stage="base", domains=(), levels={"x": ("field:a",)})
    with pytest.raises(UserError, match="reads shards"):
        look_for(SMALL, Mixing(stage="a", domains=("field:a",), levels={"x": ("field:a",)}), tmp_path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "recipes" / "mix").glob("*.toml")))
def test_the_mixtures_of_the_repository_can_be_read(path: Path) -> None:
    whole, mixing = read_mixing(path)
    assert mixing.stage in [stage.name for stage in whole.stages] and set(mixing.levels) == {"source", "instance"}
