"""A folder to give away: bfloat16 weights, a card that the model's own answers decide, hashes, the base beside it."""

import hashlib
import json
import os
import random
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from msgspec.structs import replace

from ponder import LLM
from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.sample import Problem
from ponder.eval import manifest
from ponder.eval.statistics import Estimate
from ponder.model.card import CARD, read_card
from ponder.model.decoder import forward
from ponder.model.load import load
from ponder.tasks.table import TASKS
from ponder.text.chat.render import render
from ponder.train.package import package as packaging
from ponder.train.package.readme import about
from ponder.train.package.run_folder import Run
from ponder.train.package.sheet import read_sheet
from ponder.train.recipe.graph import FINISHED, MADE
from tests.train.thinker import THINKER, TOKENIZER, Digit, tuned

SHEET = """
name = "one-digit"
title = "One digit"
recipe = "recipes/digit.toml"
stage = "tuned"
base = "base"
cannot = "It knows one number."
notes = ["It was made by a test."]
examples = ["How many r in r a r?"]
budgets = [0, "none"]
n = 8
max_tokens = 60
[tasks]
digit = { does = "says a digit", levels = [0] }
"""


def stage(run: Path, name: str, kind: str, before: str = "", **more: object) -> Path:
    folder = run / f"{name}-0123456789"
    folder.mkdir(parents=True)
    (folder / MADE).write_text(json.dumps({"name": name, "kind": kind, "from": before or None} | more))
    lines = [{"tokens": 1000, "seconds": 1800.0, "loss": 2.5}, {"tokens": 500, "seconds": 1800.0, "loss": 0.25}]
    if kind != "eval":
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / FINISHED).touch()
    return folder


class Seven(Digit):
    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[Sequence[str], Sequence[str]]:
        return ["7"], ["0"]


@pytest.fixture(scope="module", autouse=True)
def digit() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "digit", Seven())
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages whose model says 7 to everything."""
    run = tmp_path_factory.mktemp("run")
    base = stage(run, "base", "pretrain")
    made = stage(run, "tuned", "sft", base.name)
    tuned(made, digits="7", steps=60)
    shutil.copytree(made / "model", base / "model")
    stage(run, "other", "sft", base.name)
    looked = stage(run, "eval-tuned", "eval", made.name)
    sheet = read_sheet(written(run / "sheet.toml"))
    with LLM(made / "model", kv_dtype="f32") as llm:
        manifest.save(packaging.measured(llm, "tuned", sheet.settings("digit")), looked / "result.json")
    return run


def written(path: Path, old: str = "", new: str = "") -> Path:
    path.write_text(SHEET.replace(old, new) if old else SHEET)
    return path


@pytest.fixture(scope="module")
def made(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packaging, "RELEASE", folder / "dist")
        packaging.package(run / "sheet.toml", run, None)
    return folder / "dist" / "one-digit"


def test_the_card_says_what_was_made_and_what_came_of_it(made: Path) -> None:
    card, text = read_card(made), (made / "README.md").read_text()
    assert card is not None and card.examples == ("How many r in r a r?",) and card.stage == "tuned-0123456789"
    assert card.about.startswith("One digit has ") and card.about.endswith(" It knows one number.")
    assert card.about in text and "It was made by a test." in text
    assert "in 2.0 h by the clock" in text and "| base | pretrain | 2 | 1.5k | 60 min | 0.25 |" in text
    assert "| other |" not in text, "nothing of it is in the model"
    assert "16 of 16 greedy answers are those of the weights as they were trained." in text
    assert "| tuned | think |" in text, "the run's own evaluation"
    stages = json.loads((made / "stages.json").read_text())
    assert [each["folder"] for each in stages] == ["base-0123456789", "tuned-0123456789"]


def test_every_file_has_its_hash(made: Path) -> None:
    card = read_card(made)
    assert card is not None
    found = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in made.iterdir() if f.name != CARD}
    assert found == card.files and found["stages.json"] == card.recipe


def test_the_folder_is_the_model_in_half_the_bytes(made: Path, run: Path) -> None:
    old = run / "tuned-0123456789" / "model"
    assert (made / "model.safetensors").stat().st_size < 0.6 * (old / "model.safetensors").stat().st_size
    transformers = pytest.importorskip("transformers")
    ids = render([Message.user("How many r in r a r?")], TOKENIZER).ids
    theirs = transformers.AutoModelForCausalLM.from_pretrained(made, dtype=torch.float32)
    with torch.no_grad():
        found = theirs(torch.tensor([ids])).logits[0].numpy()
    ours = load(made, dtype="f32", ops="numpy")
    assert np.abs(found - np.asarray(logits(ours, ids))).max() < 1e-4
    assert theirs.generation_config.eos_token_id == [TOKENIZER.control[n] for n in ("<|im_end|>", "<|endoftext|>")]


def logits(ours, ids):  # type: ignore[no-untyped-def]
    return forward(ours.weights, ours.config, ours.rope, ours.ops, np.array(ids), Batch.packed([len(ids)]))


def test_its_own_sampling_values_hold_in_both_modes(run: Path, tmp_path: Path) -> None:
    sheet = read_sheet(written(tmp_path / "sheet.toml", "n = 8", "n = 8\nsampling = { temperature = 0.3, top_k = 5 }"))
    folder = tmp_path / "model"
    packaging.write_model(run / "tuned-0123456789" / "model", folder, sheet)
    (folder / CARD).write_text(json.dumps({"about": "", "answer": msgspec.to_builtins(sheet.sampling)}))
    with LLM(folder) as llm:
        for params in (llm.profile.thinking_defaults, llm.profile.answer_defaults):
            assert (params.temperature, params.top_k, params.top_p) == (0.3, 5, 1.0)


def test_the_base_lies_beside_it(made: Path, tmp_path: Path) -> None:
    with tarfile.open(made.parent / "one-digit-base.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    assert load(tmp_path / "one-digit-base", dtype="f32", ops="numpy").config.vocab_size == THINKER.vocab_size


def test_what_it_is_said_to_do_follows_from_its_answers(run: Path) -> None:
    sheet = read_sheet(run / "sheet.toml")
    result = manifest.load(run / "eval-tuned-0123456789" / "result.json")
    config = load(run / "tuned-0123456789" / "model", dtype="f32", ops="numpy").config
    cases = ((1.0, " It says a digit."), (0.7, " It sometimes says a digit."), (0.3, "parameters. It knows"))
    for share, said in cases:
        best = Estimate(share, share - 0.1, 1.0, 8)
        scores = tuple(replace(score, pass_1=best, chance=0.25) for score in result.scores)
        assert said in about(sheet, config, {"digit": replace(result, scores=scores)})


def test_what_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished stage 'nobody'; it has base, tuned"):
        packaging.package(written(tmp_path / "a.toml", 'stage = "tuned"', 'stage = "nobody"'), run, tmp_path / "out")
    with pytest.raises(UserError, match="no finished stage 'somebody'"):
        packaging.package(run / "sheet.toml", run, tmp_path / "out", "somebody")
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="is there and is no package"):
        packaging.package(run / "sheet.toml", run, tmp_path / "mine")
    with pytest.raises(UserError, match="only 0 of 8 answers ended"):
        packaging.package(written(tmp_path / "b.toml", "max_tokens = 60", "max_tokens = 1"), run, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out-*"))
    with pytest.raises(UserError, match=r"no field is called 'titel'; did you mean title"):
        read_sheet(written(tmp_path / "c.toml", "title", "titel"))


def test_the_last_of_several_stages_of_one_name_is_taken(tmp_path: Path) -> None:
    for digest, time in (("aaaa", 1000), ("bbbb", 3000), ("cccc", 2000)):
        folder = tmp_path / f"tuned-{digest}"
        stage(tmp_path, "tuned", "sft").rename(folder)
        os.utime(folder / FINISHED, (time, time))
    assert Run(tmp_path).find("tuned").folder.name == "tuned-bbbb"
