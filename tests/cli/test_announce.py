"""What is said before a download: size, memory and speed of known shapes, the size alone of others."""

import re

import pytest

from ponder.cli.announce import announce, expected
from ponder.engine.scheduling import memory
from ponder.kernels import cpu
from ponder.model.hub.registry import resolve


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 16e9)
    monkeypatch.setattr(cpu, "read_bandwidth", lambda: 50e9)


def test_of_a_name_of_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    name = resolve("qwen3:4b")
    announce(name, 2_497_280_256)
    said = capsys.readouterr().err
    match = re.fullmatch(
        r"qwen3:4b-q4_k_m: 2\.50 GB to download from Qwen/Qwen3-4B-GGUF; takes ([\d.]+) GB of memory; "
        r"at most ([\d.]+) tokens a second on this machine\n",
        said,
    )
    assert match, said
    assert 2.5 < float(match[1]) < 7 and 5 < float(match[2]) < 25


def test_of_a_model_that_does_not_fit() -> None:
    assert "more than the 16.0 GB that are free" in expected("qwen3:32b-q4_k_m")


def test_of_a_repository_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    announce(resolve("hf:owner/name"), 1_000_000_000)
    assert capsys.readouterr().err == "hf:owner/name: 1.00 GB to download from owner/name\n"
