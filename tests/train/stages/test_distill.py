"""Distillation: the student comes closer to its teacher, in text of its own or of the teacher's."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import convert
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.tasks.table import TASKS
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import Vocabulary
from ponder.train.record.metrics import read
from ponder.train.stage import MODEL, Context
from ponder.train.stages.distill import Distill, check_vocabulary, taught
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
    [{}, {"beta": 1.0}, {"beta": 0.5, "modes": ["no_think"]}, {"from_teacher": 1.0}, {"from_teacher": 0.5, "group": 2}],
    ids=["forward", "reverse", "jsd", "off-policy", "both"],
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
