"""House rules that no single room can check: torch-free inference, fast import, no pickle, docs that link."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "ponder").rglob("*.py"))

BLOCK_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ImportError("torch is not installed here")
sys.meta_path.insert(0, NoTorch())
"""


def python(code: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_import_ponder_never_imports_torch() -> None:
    out = python("import sys, ponder; ponder.LLM; print('torch' in sys.modules, 'transformers' in sys.modules)")
    assert out.stdout.split() == ["False", "False"]


def test_inference_works_without_torch() -> None:
    """A random tiny model answers through the native ops in a process where torch cannot be imported."""
    code = (
        BLOCK_TORCH
        + """
import tempfile
from msgspec import structs
from ponder import LLM
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save
with tempfile.TemporaryDirectory() as folder:
    save_hf(folder, random_checkpoint(structs.replace(PRESETS["tiny"], vocab_size=151936), seed=0))
    save(Tokenizer.packaged("qwen3"), folder)
    with LLM(folder) as llm:
        print(llm.chat("hello", max_tokens=8, temperature=0).finish.usage.completion_tokens)
"""
    )
    assert int(python(code).stdout) > 0


@pytest.mark.flaky(reruns=2)  # judges time
def test_import_is_fast() -> None:
    """Under 100 ms above a bare interpreter (best of five, so that a busy machine does not fail it)."""

    def best(code: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            python(code)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best("import ponder") - best("pass") < 0.1


def test_no_pickle_no_eval_no_remote_code() -> None:
    bad = re.compile(r"import pickle|pickle\.load|\beval\(|\bexec\(|torch\.load|trust_remote_code|yaml\.load")
    hits = [f"{p.name}: {line.strip()}" for p in SOURCES for line in p.read_text().splitlines() if bad.search(line)]
    assert not hits


def test_torch_is_imported_where_models_are_trained_only() -> None:
    importing = {
        p.relative_to(ROOT).as_posix() for p in SOURCES if re.search(r"^\s*(import|from) torch", p.read_text(), re.M)
    }
    assert importing and all(name.startswith(("ponder/model/torch/", "ponder/train/")) for name in importing)


def test_rooms_above_the_engine_do_not_ask_what_a_model_is() -> None:
    """A model of this process and one of another server are asked the same way (`core.protocol.ChatModel`)."""
    asks = re.compile(r"isinstance\([^)\n]*\b(LLM|RemoteModel)\b")
    assert asks.search("if isinstance(llm, LLM):")
    rooms = {"agent", "eval", "train", "server", "cli"}
    above = [p for p in SOURCES if p.relative_to(ROOT / "ponder").parts[0] in rooms]
    assert above and not [p.name for p in above if asks.search(p.read_text())]


def test_links_between_pages_exist() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)  # `](` is C++ in code
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_no_machine_paths_in_tracked_files() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:  # an unpacked sdist has no git
        return
    bad = re.compile(r"(^|[^A-Za-z0-9_.])/" + r"(work|farm)/|bash_" + "jobs")
    for name in filter(None, files.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".xz", ".png", ".gguf"} or not path.is_file():
            continue
        assert not bad.search(path.read_text(errors="replace")), name


def test_pinned_environment_variables() -> None:
    """Configuration is flags and files; the environment names folders, and what other programs read as well."""
    allowed = {"PONDER_HOME", "XDG_DATA_HOME", "NO_COLOR", "TERM", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"}
    allowed |= {  # where others keep models
        "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "MODELSCOPE_CACHE", "OLLAMA_MODELS",
    }  # fmt: skip
    found = set()
    for path in SOURCES:
        found |= set(re.findall(r"environ(?:\.get\(|\[)[\"'](\w+)", path.read_text()))
    assert found <= allowed | set(os.environ.get("PONDER_TEST_ENV", "").split()), found - allowed


def test_folders_and_files_stay_small() -> None:
    """At most fifteen modules a folder and three hundred lines a module: what a reader holds in mind at once."""
    for folder in {path.parent for path in (ROOT / "ponder").rglob("*.py")}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 15, f"{folder.relative_to(ROOT)} has {len(modules)} modules"
        for path in modules:
            lines = len(path.read_text("utf-8").splitlines())
            assert lines <= 300, f"{path.relative_to(ROOT)} has {lines} lines"


def test_files_of_tests_have_names_of_their_own() -> None:
    """Without packages, pytest cannot tell two of one name apart."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
