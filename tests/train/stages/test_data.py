"""A text of `ponder data` as the first stage of training: the one that the recipe means, or a refusal."""

import io
import json
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.data.recipe import read_recipe
from ponder.data.run import make
from ponder.train.recipe.estimate import estimate
from ponder.train.recipe.graph import nodes_of, run
from ponder.train.recipe.read import Recipe, recipe_of
from tests.train.recipes import base, recipe

SOURCE = '[[source]]\nname = "a"\nfiles = ["*.txt"]\nlicence = "CC0-1.0"\n'


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    """The folder and the hash of a text."""
    for n in range(20):
        words = " ".join(f"word{chr(97 + (n * k) % 26)}{chr(97 + k % 26)}" for k in range(1, 60))
        (tmp_path / f"{n}.txt").write_text(f"{words}.\n")
    (tmp_path / "r.toml").write_text(SOURCE)
    report = make(read_recipe(tmp_path / "r.toml"), tmp_path / "made", sample=None, workers=1, say=lambda text: None)
    return tmp_path / "made", report.sha256


def whole(folder: Path, sha256: str) -> Recipe:
    text = {"name": "text", "kind": "data", "folder": str(folder), "sha256": sha256}
    tokenizer = {"name": "tokenizer", "kind": "tokenizer", "from": "text", "vocab_size": 400}
    return recipe_of(recipe(text, tokenizer, base(steps=2)), "test")


def test_a_model_learns_from_it(made: tuple[Path, str], tmp_path: Path) -> None:
    lines = estimate(nodes_of(whole(*made), tmp_path / "run"), seconds=0.0)
    assert lines[2].ids > 0
    *_, node = run(whole(*made), tmp_path / "run", log=io.StringIO())
    assert node.finished and (node.folder / "model/config.json").exists()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("hash", "the recipe wants 00"),
        ("text", "was changed after"),
        ("manifest", "no finished text"),
        ("no", "no finished text"),
    ],
)
def test_another_text_is_refused(what: str, message: str, made: tuple[Path, str], tmp_path: Path) -> None:
    folder, sha256 = made
    if what == "hash":
        sha256 = "00"
    elif what == "text":
        with (folder / "text.jsonl").open("a") as file:
            file.write(json.dumps({"text": "more"}) + "\n")
    elif what == "manifest":
        (folder / "manifest.json").write_text("[]")
    else:
        folder = tmp_path / "nothing"
    with pytest.raises(UserError, match=message):
        run(whole(folder, sha256), tmp_path / "run", log=io.StringIO())


def test_without_a_hash_it_is_as_found_and_an_optional_one_may_be_missing(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    def text_of(**more: object) -> str:
        whole = recipe_of(recipe({"name": "text", "kind": "data"} | more), "test")
        [node] = run(whole, tmp_path / "run", log=io.StringIO())
        return (node.folder / "text.jsonl").read_text()

    assert text_of(folder=str(made[0])) == (made[0] / "text.jsonl").read_text()
    assert text_of(folder=str(tmp_path / "none"), optional=True) == ""
    with pytest.raises(UserError, match="no finished text"):
        text_of(folder=str(tmp_path / "none"))
