"""list, show, pull, rm, convert, export, quantize and doctor, on tiny random models, each in its own process."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ponder.cli.main import dispatch
from ponder.core.errors import UserError
from ponder.model.hub.registry import BUNDLES, RELEASED
from ponder.model.load import open_checkpoint
from ponder.model.weights.checkpoint import read


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if ".lock" not in p.name)


def test_list(ponder, tmp_path: Path) -> None:
    done = ponder("list")
    assert done.returncode == 0 and "none yet" in done.stdout
    assert all(name in done.stdout for name in RELEASED)
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    assert re.search(r"1\.19 GB +([\d.]+ tokens/s|does not fit)", rows["qwen3:0.6b"]), rows["qwen3:0.6b"]
    assert "does not fit" in rows["qwen3:235b-a22b"] or "tokens/s" in rows["qwen3:235b-a22b"]
    listed = json.loads(ponder("list", "--json").stdout)
    assert listed["home"] == str(tmp_path / "home") and listed["downloaded"] == [] and "qwen3:8b" in listed["names"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # from the config.json of each
        ("qwen3:0.6b", ["596,049,920", "440,467,456", "1.19 GB", "hybrid", "32,768", "131,072", "115 kB a token"]),
        ("qwen3:30b-a3b", ["30,532,122,624", "29,909,792,768", "3,353,032,704", "128 experts", "8 used"]),
        ("qwen3:235b-a22b", ["235,093,634,560", "22,190,763,520"]),
        ("qwen3:4b-q4_k_m", ["4,022,468,096"]),
        ("qwen3:8b-base", ["8,190,735,360", "base"]),
        ("QWEN3:32B", ["32,762,123,264", "31,206,298,624"]),
        ("qwen2.5-coder:0.5b", ["instruct", "qwen2.5"]),
    ],
)
def test_show_needs_no_download(ponder, name: str, expected: list[str]) -> None:
    done = ponder("show", name)
    assert done.returncode == 0, done.stderr
    assert [e for e in expected if e not in done.stdout] == []


def test_show_every_released_name(ponder) -> None:
    """In one process: `show` itself is a function of the name."""
    from ponder.model.info import describe_released

    for name in (*RELEASED, *BUNDLES):
        info = describe_released(name)
        assert info is not None and info.name == name and info.weight_bytes["int4"] < info.weight_bytes["bf16"]


def test_show_a_folder(ponder, tiny: Path) -> None:
    done = ponder("show", str(tiny))
    assert done.returncode == 0 and "hybrid" in done.stdout and str(tiny) in done.stdout
    shown = json.loads(ponder("show", str(tiny), "--json").stdout)
    assert shown["config"]["num_hidden_layers"] == 2 and shown["capability"] == "hybrid"


def test_show_what_is_not_known(ponder) -> None:
    for name, hint in (("hf:someone/something", "ponder pull"), ("qwen3:9b", "qwen3:8b"), ("scripted:x", "script")):
        done = ponder("show", name)
        assert done.returncode == 2 and hint in done.stderr and not done.stdout


def fake_download(home: Path, name: str = "qwen3:0.6b") -> Path:
    from ponder.model.hub.registry import resolve
    from ponder.model.hub.store import finish, slot

    os.environ["PONDER_HOME"] = str(home)
    try:
        folder = slot(resolve(name))
    finally:
        del os.environ["PONDER_HOME"]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    finish(folder, name, "Hugging Face hub", ["config.json"])
    return folder


def test_rm(ponder, tmp_path: Path, command, env) -> None:
    folder = fake_download(tmp_path / "home")
    assert "qwen3:0.6b" in ponder("list").stdout.split("can be pulled")[0]
    done = ponder("rm", "qwen3:0.6b")
    assert done.returncode == 2 and "--yes" in done.stderr and folder.exists()
    for answer, code, left in ((b"n\n", 1, True), (b"y\n", 0, False)):
        ours, theirs = pty.openpty()
        with subprocess.Popen([*command, "rm", "qwen3:0.6b"], stdin=theirs, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=env) as process:  # fmt: skip
            os.write(ours, answer)
            assert process.wait(20) == code
            assert b"Delete qwen3:0.6b" in process.stderr.read()
        os.close(ours)
        os.close(theirs)
        assert folder.exists() == left
    done = ponder("rm", "qwen3:0.6b", "--yes")
    assert done.returncode == 2 and "not downloaded" in done.stderr


def test_rm_keeps_its_hands_off_your_files(ponder, tiny: Path) -> None:
    done = ponder("rm", str(tiny), "--yes")
    assert done.returncode == 2 and tree(tiny)


def test_pull_of_what_is_here_or_nowhere(ponder, tiny: Path) -> None:
    assert "already" in ponder("pull", str(tiny)).stderr
    done = ponder("pull", "qwen3:7b")
    assert done.returncode == 2 and "qwen3:" in done.stderr


def test_run_a_folder(ponder, tiny: Path) -> None:
    done = ponder("run", str(tiny), "--json", "--max-tokens", "40", "--seed", "3", "--budget", "4", "hello")
    result = json.loads(done.stdout)
    assert result["usage"]["completion_tokens"] == 40 and result["effective"]["budget"] == 4
    again = ponder("run", str(tiny), "--json", "--max-tokens", "40", "--seed", "3", "--budget", "4", "hello")
    assert again.stdout == done.stdout
    small = ponder("run", str(tiny), "--max-context", "32", "word " * 40)
    assert small.returncode == 2 and "32" in small.stderr


def test_convert_there_and_back(ponder, tiny: Path, tmp_path: Path) -> None:
    """folder -> GGUF -> folder: the same tensors, to the bit, and the same answer from all three."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    assert ponder("convert", str(tiny), "there.gguf", "--type", "bf16").returncode == 0
    done = ponder("export", "there.gguf", "back", "--type", "bf16")
    assert done.returncode == 0 and done.stdout.startswith("back: ")
    answers = {
        ponder("run", model, "--temperature", "0", "--no-think", "--max-tokens", "12", "hello").stdout
        for model in (str(tiny), "there.gguf", "back")
    }
    assert len(answers) == 1
    first, last = (load_file(p / "model.safetensors") for p in (tiny, tmp_path / "back"))
    assert first.keys() == last.keys() and all(torch.equal(first[k], last[k]) for k in first)


def test_convert_makes_bf16_of_a_quantised_folder(ponder, tmp_path: Path) -> None:
    """Whose values it has, for programs that do not read that form."""
    import numpy as np
    import quantised_tiny

    from ponder.kernels.tensor import to_bf16
    from ponder.model.formats.hf import read_hf

    values = quantised_tiny.write(tmp_path / "fp8", "fp8")
    assert ponder("convert", "fp8", "plain").returncode == 0
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())
    found = read_hf(tmp_path / "plain").tensors
    name = "model.layers.0.mlp.up_proj.weight"
    assert found.keys() == values.keys()
    np.testing.assert_array_equal(found[name].read().data, to_bf16(values[name]))


def test_convert_merges_an_adapter(tiny: Path, tmp_path: Path) -> None:
    """W + B A, in the folder and in the GGUF file; not into weights that are quantised."""
    import numpy as np
    from safetensors.numpy import save_file

    name = "model.layers.1.self_attn.q_proj"
    n, k = open_checkpoint(tiny).tensors[name + ".weight"].shape
    drawn = np.random.default_rng(1)
    a, b = drawn.normal(size=(2, k)).astype(np.float32), drawn.normal(size=(n, 2)).astype(np.float32)
    (tmp_path / "lora").mkdir()
    save_file({f"base_model.model.{name}.lora_{part}.weight": value for part, value in (("A", a), ("B", b))},
              tmp_path / "lora" / "adapter_model.safetensors")  # fmt: skip
    (tmp_path / "lora" / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 2}')
    lora = ("--adapter", str(tmp_path / "lora"))
    for target, type_ in ((tmp_path / "merged", "f32"), (tmp_path / "merged.gguf", "F32")):
        assert dispatch(["convert", str(tiny), str(target), "--type", type_, *lora]) == 0
        before, after = open_checkpoint(tiny).tensors, open_checkpoint(target).tensors
        assert before.keys() == after.keys()
        for tensor in before:
            change = b @ a if tensor == name + ".weight" else 0
            np.testing.assert_allclose(read(after[tensor], "f32"), read(before[tensor], "f32") + change, atol=1e-5)
    assert dispatch(["convert", str(tiny), str(tmp_path / "small.gguf"), "--type", "Q8_0"]) == 0
    with pytest.raises(UserError, match="unquantised"):
        dispatch(["convert", str(tmp_path / "small.gguf"), str(tmp_path / "x"), *lora])
    assert not (tmp_path / "x").exists()


def test_convert_refuses_what_makes_no_sense(ponder, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "here.gguf").write_text("mine")
    cases = [
        (["here.gguf"], "exists already"),
        (["x.gguf", "--type", "Q3_K"], "Q8_0"),
        (["folder", "--type", "int8"], "ponder quantize"),
        (["folder", "--format", "gguf"], ".gguf"),
        (["no/such/place/x.gguf"], "no/such/place"),
    ]
    for words, hint in cases:
        done = ponder("convert", str(tiny), *words)
        assert done.returncode in (1, 2) and hint in done.stderr, (words, done.stderr)
    assert (tmp_path / "here.gguf").read_text() == "mine" and tree(tmp_path) == ["here.gguf"]


def test_quantize_reports_and_the_result_runs(ponder, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("The quick brown fox jumps over the lazy dog. " * 10)
    done = ponder("quantize", str(tiny), "small", "--to", "int8", "--text", "text")
    assert done.returncode == 0, done.stderr
    assert "mean KL divergence" in done.stdout and "perplexity" in done.stdout
    assert ponder("run", "small", "--no-think", "--max-tokens", "4", "hello").returncode == 0
    words = ("--to", "int4", "--group", "16", "--force", "--json", "--text", "text")
    report = json.loads(ponder("quantize", str(tiny), "smaller", *words).stdout)
    assert report["mean_kl"] > 0 and 0 < report["top1"] <= 1
    assert report == json.loads((tmp_path / "smaller" / "fidelity.json").read_text())


def test_quantize_calibrated(ponder, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("To be measured on. " * 40)
    (tmp_path / "other").write_text("To be rounded for, not to be measured on. " * 200)
    words = ["--to", "int4", "--text", "text", "--json"]
    plain, tuned = (
        json.loads(ponder("quantize", str(tiny), name, *words, *more).stdout)
        for name, more in (("plain", []), ("tuned", ["--calibrate", "other"]))
    )
    assert 0 < tuned["mean_kl"] < plain["mean_kl"]
    refused = ponder("quantize", str(tiny), "x", *words, "--calibrate", "text")
    assert refused.returncode == 2 and "the same file" in refused.stderr


@pytest.mark.parametrize("words", [["convert", "x.gguf"], ["quantize", "folder", "--to", "int8"]])
def test_ctrl_c_leaves_all_or_nothing(command, env, ponder, tiny: Path, tmp_path: Path, words: list[str]) -> None:
    """Interrupted at several moments of the work: exit code 130, and no file that is half written."""
    for delay in (0.3, 0.6, 0.9, 1.2):
        process = subprocess.Popen(
            [*command, words[0], str(tiny), *words[1:]], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT), errors  # the signal itself: before `main` began
        if os.listdir(tmp_path):
            assert os.listdir(tmp_path) == [words[1]]  # no temporary file beside it
            assert ponder("show", words[1]).returncode == 0
            return


def test_doctor(ponder) -> None:
    done = ponder("doctor")
    assert "sandbox:" in done.stdout and "isolation" in done.stdout
    assert done.returncode == 0, done.stdout
    assert "all is well" in done.stdout and "in force" in done.stdout and "scalar f32" in done.stdout
    assert "network" not in done.stdout


def test_doctor_without_kernels_says_what_to_do(command, env, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import sys\nsys.modules['ponder.kernels._native'] = None\n"
        "from ponder.cli.main import main\nsys.exit(main(['doctor']))\n"
    )
    done = subprocess.run([command[0], "broken.py"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "g++" in done.stdout and "<- broken" in done.stdout and not done.stderr
