"""`ponder eval` as a user has it: tables, files, resuming, repeating, mistakes."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from live import saying, server

THOUGHT = "<think>\nr: s0 t0 r1 a1\n</think>\n\nIt is 1."
COUNT = ("--tasks", "count", "--levels", "2-4", "--n", "30")


def test_scores_curve_and_files(ponder, script, tmp_path: Path) -> None:
    model = script(THOUGHT)
    words = (model, *COUNT, "--budgets", "0,4,none", "--json", "r.json", "--html", "r.html", "--md", "r.md")
    done = ponder("eval", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "r.md").read_text()
    for text in (
        "| think 0 | ",
        "| think 4 | ",
        "| think | ",
        "| no_think | ",
        "| none | ",
        "Without any step: 17.0 %.",
    ):
        assert text in done.stdout
    result = json.loads((tmp_path / "r.json").read_text())
    assert len(result["outputs"]) == 30 * 4
    ones = sum(o["ok"] for o in result["outputs"] if o["cell"] == {"mode": "no_think", "budget": None})
    assert f"| no_think | {100 * ones / 30:.1f} %" in done.stdout
    by_budget = {p["budget"]: p["fits"] for p in result["curve"] if p["level"] is None}
    assert by_budget == {0: 0.0, 4: 0.0, None: 1.0}
    manifest = result["manifest"]
    assert manifest["model"]["files"].keys() == {Path(model).name.removeprefix("scripted:")}
    assert len(manifest["model"]["prompts"]) == 64 and manifest["settings"]["seed"] == 0
    assert {h["values"]["temperature"] for h in manifest["sampling"]} == {0.6, 0.7}
    page = (tmp_path / "r.html").read_text()
    assert page.count("<svg") == 2 and "prefers-color-scheme: dark" in page and "4 letters" in page
    assert "src=" not in page and "href=" not in page  # needs nothing else
    assert not list(tmp_path.glob("*.unfinished"))


def test_the_same_again_gives_the_same(ponder, tiny, tmp_path: Path) -> None:
    """Random weights, sampled: every answer that is repeated from the manifest is equal, however many run at once."""
    words = (str(tiny), "--tasks", "count,reverse", "--n", "12", "--max-tokens", "24", "--threads", "1")
    first = ponder("eval", *words, "--samples", "2", "--json", "a.json")
    assert first.returncode == 0, first.stderr
    again = ponder("eval", "--repeat", "a.json", "--json", "b.json", "--in-flight", "3", "--threads", "1")
    assert again.returncode == 0, again.stderr
    assert "96 of 96 answers are the same" in again.stderr and "not the same as before" not in again.stderr
    assert again.stdout == first.stdout
    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert a["outputs"] == b["outputs"] and a["scores"] == b["scores"]
    assert len({o["reasoning"] + o["answer"] for o in a["outputs"]}) > 20
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= a["manifest"]["model"]["files"].keys()


def test_other_weights_are_told(ponder, script, tmp_path: Path) -> None:
    model = script(THOUGHT)
    ponder("eval", model, *COUNT, "--modes", "no_think", "--json", "a.json")
    Path(model.removeprefix("scripted:")).write_text('{"text": "It is 2."}\n')
    again = ponder("eval", "--repeat", "a.json")
    assert "0 of 30 answers are the same" in again.stderr and "not the same as before: model.files" in again.stderr


def test_ctrl_c_saves_and_resume_goes_on(command, env, ponder, script, tmp_path: Path) -> None:
    model = script({"text": "It is 1.", "delay_ms": 30})
    words = [model, *COUNT, "--modes", "no_think", "--json", "r.json", "--in-flight", "2"]
    kept = tmp_path / "r.json.unfinished"
    with subprocess.Popen(
        [*command, "eval", *words], env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not (kept.exists() and kept.read_bytes().count(b"\n") > 4):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and b"--resume goes on" in err and b"Traceback" not in err and not out
    assert not (tmp_path / "r.json").exists()
    begun = kept.read_bytes().count(b"\n") - 1
    assert 4 <= begun < 30
    refused = ponder("eval", *words)
    assert refused.returncode == 2 and "--resume goes on with it; or delete it" in refused.stderr
    other = ponder("eval", *words, "--seed", "3", "--resume")
    assert other.returncode == 2 and "settings.seed: 0 was, 3 is" in other.stderr
    done = ponder("eval", *words, "--resume")
    assert done.returncode == 0 and f"going on after {begun} answers" in done.stderr
    assert f"{30 - begun} answers in" in done.stderr and not kept.exists()
    assert len(json.loads((tmp_path / "r.json").read_text())["outputs"]) == 30


def test_a_server(ponder, tmp_path: Path) -> None:
    with server(saying(tmp_path, {"m": THOUGHT})) as url:
        done = ponder("eval", f"{url}/v1", *COUNT, "--budgets", "4,none", "--json", "r.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["manifest"]["model"]["loaded"]["served"].startswith("m at http")
    fits = {p["budget"]: p["fits"] for p in result["curve"] if p["level"] is None}
    assert fits == {4: 0.0, None: 1.0}
    assert {o["reasoning"] for o in result["outputs"] if o["cell"]["mode"] == "no_think"} == {""}


def test_a_model_without_thoughts_is_asked_without_them(ponder, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"model": {"capability": "instruct"}}\n{"text": "It is 1."}\n')
    done = ponder("eval", "scripted:s.jsonl", *COUNT)
    assert done.returncode == 0 and "| no_think |" in done.stdout and "| think" not in done.stdout
    refused = ponder("eval", "scripted:s.jsonl", *COUNT, "--budgets", "0,4")
    assert refused.returncode == 2 and "does not think (instruct)" in refused.stderr
    assert "leave --budgets out" in refused.stderr


def test_thoughts_that_loop_are_told_in_red(ponder, script) -> None:
    model = script({"text": "<think>\n" + "over and over ", "eos": False, "answer": "It is 1."})
    done = ponder("eval", model, "--tasks", "count", "--levels", "2", "--n", "4", "--modes", "think")
    assert "🔴 100.0 %" in done.stdout and "100.0 % in a loop (more than 2 %)" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a MODEL, or a result to --repeat"),
        (("M", "--tasks", "coutn"), "did you mean count?"),
        (("M", "--modes", "thinking"), "did you mean think?"),
        (("M", "--budgets", "few"), "a budget is a number of tokens or the word none"),
        (("M", "--modes", "no_think", "--budgets", "3"), "they need the mode think"),
        (("M", "--levels", "77"), "has the levels 0 to"),
        (("M", "--n", "0"), "n must be 1 or more"),
        (("M", "--tasks", "swap", "--levels", "0", "--n", "900"), "take fewer, or higher levels"),
        (("M", "--json", "nowhere/r.json"), "there is no folder nowhere"),
        (("M", "--resume"), "--resume needs the --json FILE"),
        (("M", "--in-flight", "0"), "--in-flight must be 1 or more"),
        (("M", "--served-model", "x"), "--served-model is for a server"),
        (("M", "--temperature", "-1"), "temperature must be between"),
        (("--repeat", "none.json"), "none.json"),
    ],
)
def test_mistakes_say_what_to_do(ponder, script, words: tuple[str, ...], said: str) -> None:
    done = ponder("eval", *(script(THOUGHT) if w == "M" else w for w in words))
    assert done.returncode == 2 and said in done.stderr and not done.stdout
