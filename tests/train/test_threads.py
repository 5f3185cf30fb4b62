"""How many threads a recipe gets when nobody says."""

from pathlib import Path

import pytest

from ponder.cli.main import main
from ponder.kernels.cpu import usable_cpus
from ponder.train.recipe.command import threads_for
from ponder.train.recipe.read import read_recipe

SMOKE = Path(__file__).parents[2] / "recipes" / "smoke.toml"


def test_narrow_models_train_on_one_thread_wide_ones_on_all(tmp_path: Path) -> None:
    assert threads_for(read_recipe(SMOKE)) == 1
    wide = tmp_path / "wide.toml"
    wide.write_text(SMOKE.read_text().replace("hidden_size = 64", "hidden_size = 256"))
    assert threads_for(read_recipe(wide)) == usable_cpus()


def test_no_threads_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(SMOKE), "--threads", "0"]) == 2
    assert "--threads must be 1 or more, got 0" in capsys.readouterr().err
