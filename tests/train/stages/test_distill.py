"""Distillation: the student comes closer to its teacher, in text of its own or of the teacher's."""

import io
from dataclasses import replace as replace_
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import convert
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.tasks.table import TASKS
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import Vocabulary
from ponder.train.batch import pack
from ponder.train.record.metrics import read
from ponder.train.rollouts.said_by_teacher import told_by
from ponder.train.rollouts.watch import Watch, loops
from ponder.train.stage import MODEL, Context
from ponder.train.stages.distill import Distill, check_vocabulary, taught
from ponder.train.step import StepSettings, Trainer
from tests.train.rollouts.test_groups import group
from tests.train.thinker import THINKER, TOKENIZER, Digit, tuned

FIELDS = {"name": "small", "kind": "distill", "from": "student", "teacher": "teacher", "tasks": ["digit"],
          "steps": 24, "rate": 0.006, "warmup": 4, "problems": 16, "max_new_tokens": 32}  # fmt: skip
SMALLER = replace(THINKER, hidden_size=8, intermediate_size=16)


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    folders = {role: tmp_path_factory.mktemp(role) for role in ("from", "teacher")}
    tuned(folders["from"], digits="0123456789", seed=1, config=SMALLER)
    tuned(folders["teacher"], digits="7777777773")
    return folders


@pytest.fixture(autouse=True)
def _digit(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setitem(TASKS, "digit", Digit())


def stage(**fields: Any) -> Distill:
    return convert({**FIELDS, **fields}, Distill)


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"beta": 1.0},
        {"beta": 0.5, "modes": ["no_think"]},
        {"from_teacher": 1.0},
        {"from_teacher": 0.5, "group": 2},
        {"top": 12},
    ],
    ids=["forward", "reverse", "jsd", "off-policy", "both", "top-12"],
)
def test_the_divergence_from_the_teacher_falls(
    variant: dict[str, Any], parents: dict[str, Path], tmp_path: Path
) -> None:
    ctx = Context(folder=tmp_path, parents=parents, identity={}, seed=1, out=io.StringIO())
    stage(**variant).run(ctx)
    lines = read(tmp_path / "metrics.jsonl")
    found = [float(line["divergence"]) for line in lines]
    assert sum(found[-3:]) / 3 < 0.6 * found[0]
    if variant.get("from_teacher") != 1.0:
        right = [float(line["reward"]) for line in lines]
        assert sum(right[-5:]) / 5 > sum(right[:3]) / 3 + 0.05, "the teacher answers 7 nine times in ten"
    else:
        assert "reward" not in lines[0], "nobody asked the student"
    assert (tmp_path / MODEL / "config.json").exists()


def test_what_a_teacher_said_is_the_teacher(parents: dict[str, Path]) -> None:
    """All ids but one, and the rest as one class, are the whole distribution."""
    ctx = Context(folder=parents["from"], parents=parents, identity={}, seed=1, out=io.StringIO())
    teacher = ctx.model("teacher")
    samples = [taught(rollout) for rollout in group(1.0, 0.0)]
    ids = np.concatenate([samples[0].ids, samples[0].ids])
    samples = [Sample.of(ids, kl=[0.0] * (len(ids) - 3) + [1.0, 0.0, 1.0])]
    whole = Trainer(ctx.model(), StepSettings(), parents["from"], teacher=teacher)
    alone = Trainer(ctx.model(), StepSettings(), parents["from"])
    wanted, _ = whole.loss(pack(samples))
    told = told_by(teacher, samples, 10_000)
    assert told[0].teacher_ids is not None and told[0].teacher_ids.shape[1] == TOKENIZER.vocab_size - 1
    torch.testing.assert_close(alone.loss(pack(told))[0], wanted, rtol=1e-4, atol=1e-6)
    assert alone.loss(pack(told_by(teacher, samples, 2)))[0] < wanted, "a tail class is a lower bound"


def test_several_teachers_each_for_its_task(
    parents: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "other", replace_(Digit(), name="other"))
    two = {"tasks": ["digit", "other"], "teachers": {"other": "second"}, "top": 8, "steps": 2, "warmup": 0}
    ctx = Context(folder=tmp_path, parents=parents | {"second": parents["from"]}, identity={}, seed=1,
                  out=io.StringIO())  # fmt: skip
    stage(**two).run(ctx)
    found = [float(line["divergence"]) for line in read(tmp_path / "metrics.jsonl")]
    (tmp_path / "one").mkdir()
    stage(steps=2, top=8, warmup=0).run(replace_(ctx, folder=(tmp_path / "one")))
    one = [float(line["divergence"]) for line in read(tmp_path / "one" / "metrics.jsonl")]
    assert found[0] < 0.8 * one[0], "half of the answers are taught by the student itself"


def test_answers_that_grow_or_loop_stop_the_run(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "none.jsonl", 2.0, 0.5)
    for length in (10, 10, 10, 10, 10, 15, 20, 25, 28):
        watch.note({"new_tokens": length, "looping": 0.4})
    with pytest.raises(UserError, match=r"answers have \d+ ids where they had 10: they grow"):
        for _ in range(5):
            watch.note({"new_tokens": 30, "looping": 0.4})
    going_round = Watch(tmp_path / "none.jsonl", 0.0, 0.5)
    with pytest.raises(UserError, match="60% of the answers end in a loop"):
        for _ in range(5):
            going_round.note({"new_tokens": 900, "looping": 0.6})
    assert loops([1, 2, 3, 4] * 3) and loops([9, *[5] * 9]) and not loops([1, 2, 3, 4] * 2) and not loops(range(99))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"length_limit": float("nan")}, "length_limit is 0 or more"),
        ({"top": -1}, "top is 0 .the whole distribution. or a number of ids, got -1"),
        ({"teachers": {"count": "a"}}, "not among the tasks"),
        ({"teachers": {"digit": "a"}}, "set top"),
        ({"teachers": {"digit": "a"}, "top": 4, "from_teacher": 0.5}, "from_teacher is 0"),
        ({"loop_limit": 2.0}, "loop_limit between 0 and 1"),
    ],
)
def test_teachers_that_cannot_be_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        stage(**fields)


def test_only_what_a_model_wrote_is_taught() -> None:
    [rollout] = group(1.0)
    assert taught(rollout).kl.tolist() == [0, 1, 1]


def test_another_vocabulary_is_refused(parents: dict[str, Path], tmp_path: Path) -> None:
    v = TOKENIZER.vocabulary
    other = Tokenizer(Vocabulary(v.ids, v.merges, {**v.added, "<extra>": TOKENIZER.vocab_size}, v.special, v.eos))
    with pytest.raises(UserError, match=r"1 entries differ, such as '<extra>'"):
        check_vocabulary(TOKENIZER, other, 282, 283)
    with pytest.raises(UserError, match="teacher knows 300 ids and the student 282"):
        check_vocabulary(TOKENIZER, TOKENIZER, 282, 300)
    check_vocabulary(TOKENIZER, TOKENIZER, 282, 282)


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"beta": 1.5}, "beta must be between 0 and 1"), ({"from_teacher": -0.1}, "a share"), ({"group": 0}, "1 answer")],
)
def test_bad_input_is_refused_where_it_is_read(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        stage(**fields)
