"""The examples of docs/serve.md (blocks marked `serve`), each run against a live server with the model they name."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from live import server
from msgspec.structs import replace

from ponder.engine.llm import LLM
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "serve.md"
BLOCKS = re.findall(r"^```(bash|python|js) serve( openai)?\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
ADDRESS, MODEL, ANSWER = "http://127.0.0.1:11435", "qwen3:0.6b", "Forty-two."
EMBEDDER = "Qwen3-Embedding-0.6B"
NPM = ROOT / "runs" / "clients" / "openai-js"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text(json.dumps(f"<think>\nSix sevens.\n</think>\n\n{ANSWER}") + "\n")
    config = replace(PRESETS["tiny"], vocab_size=151936)
    save_hf(folder := script.parent / EMBEDDER, random_checkpoint(config, noisy=True))
    save(Tokenizer.packaged(), folder)
    with server({MODEL: partial(LLM, f"scripted:{script}"), EMBEDDER: partial(LLM, folder)}) as url:
        yield url


@pytest.mark.parametrize(("language", "package", "code"), BLOCKS, ids=[f"{b[0]}{n}" for n, b in enumerate(BLOCKS)])
def test_the_example_runs(base: str, tmp_path: Path, language: str, package: str, code: str) -> None:
    assert ADDRESS in code
    code = code.replace(ADDRESS, base)
    if language == "js":
        if shutil.which("node") is None:
            pytest.skip("node 18 or newer is not installed")
        if package and not NPM.exists():
            pytest.skip("npm's openai is not installed: make test-clients")
        file = (NPM if package else tmp_path) / "example.mjs"
        file.write_text(code)
        command = ["node", str(file)]
    else:
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("tokens", "wet", ANSWER):
        if part in done.stdout:
            break
    else:
        raise AssertionError(f"not what the page promises: {done.stdout}")


def test_the_page_has_examples_in_three_languages() -> None:
    assert {language for language, _, _ in BLOCKS} == {"bash", "python", "js"}
