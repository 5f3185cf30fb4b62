"""A preference model learns which reply is better, says how it would be fooled, and gives rewards."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import convert

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.tasks.table import TASKS
from ponder.train.preference.score import Preference, sample_of, words
from ponder.train.preference.stage import RESULT, Prefer
from ponder.train.record.metrics import read
from ponder.train.rollouts.judged import Preferred
from ponder.train.stage import Context
from ponder.train.stages.rl import Rl
from tests.train.rollouts.test_judged import rollout
from tests.train.thinker import TOKENIZER, Digit, tuned

OWN = {"kind": "preference", "name": "liked", "from": "base", "steps": 60, "batch": 8, "rate": 0.01, "warmup": 5}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    tuned(folder, digits="0357", steps=60)
    return folder


@pytest.fixture(autouse=True)
def _digit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "digit", Digit())


def learned(folder: Path, base: Path, **fields: Any) -> tuple[Context, dict[str, Any]]:
    folder.mkdir()
    ctx = Context(folder=folder, parents={"from": base}, identity={}, seed=1, out=io.StringIO())
    convert({**OWN, **fields}, Prefer).run(ctx)
    return ctx, json.loads((folder / RESULT).read_text())


def test_it_learns_what_is_better_and_its_score_is_a_reward(base: Path, tmp_path: Path) -> None:
    ctx, found = learned(tmp_path / "liked", base, tasks=["digit"])
    assert found["pairs"] == 200 and found["accuracy"] > 0.9
    assert set(found["scores"]) == {"better", "worse", "worse, and sure of itself", "worse, five times", "empty"}
    score = Preference(ctx.made(), TOKENIZER)
    asked = (Message.user("0123?"),)
    good, bad = score([(asked, "7"), (asked, "0")])
    assert 0 <= bad < good <= 1
    [group] = Preferred(score, ["count"], TOKENIZER)([[rollout("7"), rollout("0"), rollout("x", ended=False)]])
    told = [r.verdict.reward for r in group if r.verdict]
    assert told[0] > told[1] and told[2] == 0.0, "what was never ended is 0"

    rl = convert({"kind": "rl", "name": "rl", "from": "base", "tasks": ["digit"], "steps": 12, "rate": 0.01,
                  "problems": 4, "group": 8, "max_new_tokens": 32, "weight_decay": 0.0, "preference": "liked",
                  "preferred": ["digit"]}, Rl)  # fmt: skip
    (tmp_path / "rl").mkdir()
    parents = {"from": base, "preference": ctx.folder}
    rl.run(Context(folder=tmp_path / "rl", parents=parents, identity={}, seed=1, out=io.StringIO()))
    rewards = [float(line["reward"]) for line in read(tmp_path / "rl" / "metrics.jsonl")]
    assert sum(rewards[-3:]) > sum(rewards[:3]) + 0.2


@pytest.mark.slow
def test_pairs_of_a_file(base: Path, tmp_path: Path) -> None:
    lines = [{"messages": [{"role": "user", "content": f"{n}?"}], "chosen": "a", "rejected": "b"} for n in range(30)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    _, found = learned(tmp_path / "liked", base, file=str(path), steps=40)
    assert found["pairs"] == 3 and found["accuracy"] == 1.0
    path.write_text('{"messages": [], "chosen": "a"}\n')
    with pytest.raises(UserError, match="line 1: Object missing required field"):
        learned(tmp_path / "bad", base, file=str(path))
    path.write_text(json.dumps(lines[0]))
    with pytest.raises(UserError, match="1 pairs are too few"):
        learned(tmp_path / "few", base, file=str(path))


def test_only_the_verdict_is_learned() -> None:
    yes, no = words(TOKENIZER)
    for good, id_ in ((True, yes), (False, no)):
        sample = sample_of(((Message.user("2 + 2?"),), "4"), good, TOKENIZER)
        assert sample.ids[-1] == id_ and sample.ce.tolist() == [0.0] * (len(sample) - 1) + [1.0]


def test_what_cannot_be_is_refused() -> None:
    for fields, told in [({}, "name the one"), ({"tasks": ["digit"], "file": "x"}, "name the one"),
                         ({"tasks": ["digit"], "tried": 0}, "1 pair or more")]:  # fmt: skip
        with pytest.raises(ValueError, match=told):
            convert({**OWN, **fields}, Prefer)
