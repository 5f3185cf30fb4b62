"""The plan of a training: bytes and days by hand, what does not fit and what would, the eight released recipes."""

from pathlib import Path

import pytest
import tiny
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.model.config import PRESETS
from ponder.model.load import make_ops
from ponder.model.weights.build import build, random_checkpoint
from ponder.train.memory import need_of
from ponder.train.recipe.read import read_recipe
from ponder.train.scale.layout import Layout
from ponder.train.scale.plan import STATE, Cards, Work, alternatives, plan_of
from ponder.train.scale.works import works_of
from ponder.train.step import StepSettings, Trainer

RECIPES = Path(__file__).parents[3] / "recipes"
EIGHT = ["0.6b", "1.7b", "4b", "8b", "14b", "32b", "30b-a3b", "235b-a22b"]
DENSE = Work(PRESETS["qwen3:8b-base"], 30e12, 8 << 20, 4096, 8192)
MOE = Work(PRESETS["qwen3:30b-a3b-base"], 30e12, 8 << 20, 4096, 8192)


def test_state_and_days_by_hand() -> None:
    plan = plan_of(DENSE, Cards("H100", 64), Layout(), utilisation=0.5)
    total = DENSE.config.parameter_counts().total
    assert plan.state == pytest.approx(20 * total / 64, rel=1e-3)  # norms are left out
    products = total - 151936 * 4096  # the table is looked up
    attention = 36 * 32 * 128 * 4096
    assert plan.days == pytest.approx(30e12 * 6 * (products + attention) / (64 * 989e12 * 0.5) / 86400, rel=1e-3)
    again = plan_of(DENSE, Cards("H100", 64), Layout(recompute=True), utilisation=0.5)
    assert again.days == pytest.approx(plan.days * 4 / 3)
    assert again.activations < plan.activations / 5


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_the_state_is_what_a_trainer_keeps(dtype: str, tmp_path: Path) -> None:
    model = build(random_checkpoint(tiny.DENSE, seed=0), make_ops("torch"), dtype)
    trainer = Trainer(model, StepSettings(), tmp_path)
    kept = need_of(trainer, tiny.samples([8])).state
    copied = 4 if dtype == "bf16" else 0  # of the gradient, in float32, while the weights change
    vectors = sum(p.numel() for p in trainer.parameters.values() if p.ndim == 1)
    count = tiny.DENSE.parameter_counts().total - vectors  # which are float32 in both
    assert kept / count + copied == pytest.approx(STATE[dtype], rel=0.15)


def test_dividing_a_model_divides_its_bytes() -> None:
    one = plan_of(MOE, Cards("H200", 64), Layout())
    eight = plan_of(MOE, Cards("H200", 64), Layout(expert=8))
    experts = 48 * 128 * 3 * 2048 * 768
    assert eight.state - one.state == pytest.approx(20 * experts * (1 / 8 - 1 / 64))
    assert eight.gathered < one.gathered / 2  # whole experts never come together
    two = plan_of(DENSE, Cards("H200", 64), Layout(tensor=2))
    assert two.activations < plan_of(DENSE, Cards("H200", 64), Layout()).activations
    assert two.days == plan_of(DENSE, Cards("H200", 64), Layout()).days
    long = Work(DENSE.config, 30e12, 8 << 20, 32768, 32768)
    whole, halves = (plan_of(long, Cards("H200", 64), Layout(context=n)) for n in (1, 2))
    assert halves.activations == whole.activations / 2 and halves.state == whole.state, "tokens are divided, no weights"


def test_what_does_not_fit_has_ways_out_that_do() -> None:
    cards = Cards("H100", 1)
    assert not plan_of(DENSE, cards, Layout()).fits
    found = list(alternatives(DENSE, cards, Layout()))
    assert found and all(plan.fits for plan in found)
    assert found[0].cards.count == min(plan.cards.count for plan in found) > 1
    huge = Work(PRESETS["qwen3:235b-a22b"], 1e12, 8 << 20, 32768, 32768)
    assert not list(alternatives(huge, Cards("RTX 4090", 1), Layout()))


@pytest.mark.parametrize(
    ("cards", "layout", "said"),
    [
        ("8xH100", Layout(tensor=3), "tensor = 3 does not divide"),
        ("2xH100", Layout(tensor=4), "does not divide 2 processes"),
        ("8xH100", Layout(expert=2), "does not divide 0 experts"),
        ("8xH100", Layout(tensor=2, context=8), "context = 8 does not divide 4 heads of keys"),
        ("6xH100", Layout(tensor=2, context=2), r"tensor \* context = 4 does not divide 6 processes"),
        ("8192xH100", Layout(), "too few for 8,192 processes"),
        ("8 H100", Layout(), "written as 8xH100"),
        ("8xH1000", Layout(), "choose one of"),
    ],
)
def test_layouts_that_cannot_be(cards: str, layout: Layout, said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan_of(DENSE, Cards.of(cards), layout)


@pytest.mark.parametrize("name", EIGHT)
def test_the_released_recipes(name: str) -> None:
    """The published shapes; 36T ids in three stages, the last one long with another base; all fit their GPUs."""
    recipe = read_recipe(RECIPES / f"qwen3-{name}.toml")
    works = works_of(recipe)
    general, reasoning, long = works.values()
    wanted = PRESETS[f"qwen3:{name}"]
    ends = {"max_position_embeddings": 32768, "rope_theta": 1e6, "eos_token_ids": (), "bos_token_id": None}
    assert replace(long.config, **ends) == replace(wanted, **ends)
    assert long.config.max_position_embeddings == 32768 and general.config.rope_theta == 1e4
    assert [w.sequence for w in works.values()] == [4096, 4096, 32768]
    assert sum(w.tokens for w in works.values()) == pytest.approx(36e12, rel=1e-4)
    assert general.tokens > 30e12 and reasoning.tokens == pytest.approx(5e12, rel=1e-4)
    for work in works.values():
        assert plan_of(work, Cards.of(recipe.layout.gpus), recipe.layout).fits
