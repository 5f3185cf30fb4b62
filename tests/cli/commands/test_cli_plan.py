"""`ponder plan`, in a process of its own."""

import json
import re
from pathlib import Path

import pytest

HERE = ("--memory", "24", "--bandwidth", "30")


def test_every_released_size(ponder) -> None:
    done = ponder("plan", *HERE)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert re.fullmatch(
        r"Take qwen3:30b-a3b as int4: at most 1\d tokens a second at a context of 2,048, in 1\d\.\d GB of the 24\.0 GB "
        r"that are free\.", first), first  # fmt: skip
    rows = [line.split() for line in lines[2:]]
    assert len(rows) == 24 and {row[0] for row in rows} > {"qwen3:0.6b", "qwen3:235b-a22b"}
    fit = {(row[0], row[1]) for row in rows if "yes" in row}
    assert ("qwen3:8b", "bf16") in fit and ("qwen3:30b-a3b", "int4") in fit
    assert ("qwen3:14b", "bf16") not in fit and ("qwen3:32b", "int4") not in fit


def test_a_small_machine_and_one_for_nothing(ponder) -> None:
    small = ponder("plan", "--memory", "4", "--bandwidth", "8").stdout.splitlines()[0]
    assert small.startswith("Take qwen3:1.7b as int4: at most "), small
    none = ponder("plan", "qwen3:32b", "--memory", "4", "--bandwidth", "8").stdout.splitlines()[0]
    assert none == "Nothing of this fits into the 4.00 GB that are free."


def test_the_claim_about_four_h20(ponder) -> None:
    """They serve the 235B model in FP8, 4 x 131,072 tokens, and not in bf16."""
    words = ("plan", "qwen3:235b-a22b", "--gpus", "4", "--gpu", "h20", "--context", "131072", "--streams", "4")
    shown = ponder(*words)
    assert [line.split()[1] for line in shown.stdout.splitlines()[2:] if " yes " in line] == ["fp8"]
    bf16, fp8 = json.loads(ponder(*words, "--json").stdout)["plans"]
    assert (bf16["fits"], fp8["fits"]) == (False, True)
    assert 4 * bf16["weights"] >= 2 * 235_093_634_560 and 4 * fp8["cache"] == 4 * 131_072 * 192_512


def test_what_cannot_be_split_is_named_beside_what_can(ponder) -> None:
    words = ("plan", "qwen3:235b-a22b", "--gpus", "8", "--gpu", "H20")
    done = ponder(*words)
    assert done.returncode == 0 and " bf16 " in done.stdout and "pieces of 192" in done.stdout
    report = json.loads(ponder(*words, "--json").stdout)
    assert len(report["plans"]) == 1 and report["refused"][0]["dtype"] == "fp8"
    alone = ponder(*words, "--dtype", "fp8")
    assert alone.returncode == 2 and "1, 2, 4" in alone.stderr and not alone.stdout


def test_one_plan_in_full(ponder) -> None:
    done = ponder("plan", "qwen3:0.6b", "--dtype", "bf16", "--context", "1000", "--streams", "2", *HERE)
    rows = dict(line.strip().split("  ", 1) for line in done.stdout.splitlines())
    assert rows["fits"].strip() == "yes" and "2 x 1,000 tokens of 115 kB" in rows["cache"]
    # 30 GB/s over 1.19 GB of weights and 0.229 GB of cache, two streams
    assert "at most 42.2 at full context, 50.3" in rows["tokens a second"]


def test_a_folder_on_this_machine(ponder, tiny: Path) -> None:
    """Memory and bandwidth are measured; the weights are those of the files."""
    done = ponder("plan", str(tiny), "--json")
    assert done.returncode == 0, done.stderr
    plans = json.loads(done.stdout)["plans"]
    assert [p["dtype"] for p in plans] == ["bf16", "int8", "int4"] and all(p["fits"] for p in plans)
    assert plans[0]["machine"]["bandwidth"] > 1e8 and plans[0]["machine"]["memory"] > 1e8
    assert plans[0]["context"] == 2048 and plans[0]["weights"] > 2 * 151_936 * 64


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["qwen3:9b"], "qwen3:8b"),
        (["hf:someone/something"], "ponder pull"),
        (["scripted:x"], "script"),
        (["qwen3:8b", "--gpus", "2"], "--gpu H20"),
        (["qwen3:8b", "--gpu", "H21"], "H200"),
        (["qwen3:8b", "--gpu", "H20", "--dtype", "int4"], "bf16, fp8"),
        (["qwen3:8b", "--dtype", "fp8"], "not for a CPU"),
        (["qwen3:8b", "--kv", "fp8"], "--kv fp8"),
        (["qwen3:8b", "--context", "131073"], "131072"),
        (["qwen3:8b", "--memory", "-1"], "--memory"),
    ],
)
def test_what_makes_no_sense(ponder, words: list[str], hint: str) -> None:
    given = [] if "--gpu" in words or "--gpus" in words or "--memory" in words else HERE
    done = ponder("plan", *words, *given)
    assert done.returncode == 2 and hint in done.stderr and not done.stdout


def test_a_recipe_is_planned_and_what_does_not_fit_has_ways_out(ponder) -> None:
    recipe = str(Path(__file__).parents[3] / "recipes" / "qwen3-8b.toml")
    done = ponder("plan", recipe, "--gpus", "1xH100")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][:2] == ["8.19G", "parameters"] and [row[0] for row in rows[2:5]] == ["general", "reasoning", "long"]
    assert all("no" in row for row in rows[2:5]) and "days in all" in done.stdout
    assert done.returncode == 2 and "It fits 4xH100 with" in done.stderr, done.stderr
