"""Black-box helpers: the command line is tested as a user has it, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command() -> list[str]:
    return [sys.executable, "-m", "ponder"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A home of its own, and no network."""
    keep = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "PYTHONUNBUFFERED")}
    return {
        **keep,
        "PONDER_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


@pytest.fixture
def ponder(command: list[str], env: dict[str, str], tmp_path: Path) -> Run:
    """ponder("run", ..., input="...") -> the finished process; input None is /dev/null."""

    def run(*words: str, input: str | bytes | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        raw = input.encode() if isinstance(input, str) else input
        done = subprocess.run(
            [*command, *words], input=raw, stdin=subprocess.DEVNULL if raw is None else None,
            capture_output=True, env=env, cwd=tmp_path, timeout=timeout,
        )  # fmt: skip
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """script(reply, ...) -> "scripted:FILE"; a reply is the assistant's raw text, or a dict with more keys."""

    def write(*replies: str | dict[str, object]) -> str:
        path = tmp_path / f"script-{len(list(tmp_path.glob('script-*')))}.jsonl"
        rows = [r if isinstance(r, dict) else {"text": r} for r in replies]
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        return f"scripted:{path}"

    return write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: random weights of a tiny hybrid Qwen3 with the whole vocabulary."""
    from msgspec.structs import replace

    from ponder.model.config import PRESETS
    from ponder.model.formats.hf_save import save_hf
    from ponder.model.weights.build import random_checkpoint
    from ponder.text import tokenizer_files
    from ponder.text.tokenizer.tokenizer import Tokenizer

    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=2048, eos_token_ids=(151645,))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_hf(folder, random_checkpoint(config, seed=1), "bf16")
    tokenizer_files.save(Tokenizer.packaged(), folder)
    return folder
