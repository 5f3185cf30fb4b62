"""Names lead where the facts say; unknown ones come back with help."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.model.config import PRESETS
from ponder.model.hub.registry import RELEASED, known, resolve, unknown

THINKING = "unsloth/Qwen3-4B-Thinking-2507"


def test_every_released_shape_has_a_name() -> None:
    shapes = {name for name in PRESETS if name.startswith(("qwen3:", "qwen3-coder:", "qwq:"))}
    assert shapes == {n for n in RELEASED if not n.endswith(("-q8_0", "-q4_k_m"))}


@pytest.mark.parametrize(
    ("text", "kind", "repository", "file"),
    [
        ("qwen3:0.6b", "repository", "Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf"),  # no smaller one is published
        ("qwen3:4b", "repository", "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf"),
        ("qwen3:30b", "repository", "Qwen/Qwen3-30B-A3B-GGUF", "Qwen3-30B-A3B-Q4_K_M.gguf"),
        ("qwen3:4b:bf16", "repository", "Qwen/Qwen3-4B", ""),
        ("qwen3:4b-bf16", "repository", "Qwen/Qwen3-4B", ""),
        ("Qwen3:30b:Q8_0", "repository", "Qwen/Qwen3-30B-A3B-GGUF", "Qwen3-30B-A3B-Q8_0.gguf"),
        ("qwen3-coder:30b:bf16", "repository", "Qwen/Qwen3-Coder-30B-A3B-Instruct", ""),
        ("qwen3-coder:480b", "repository", "Qwen/Qwen3-Coder-480B-A35B-Instruct", ""),
        ("Qwen3:235B-A22B", "repository", "Qwen/Qwen3-235B-A22B", ""),
        ("qwen3:30b-a3b-base", "repository", "Qwen/Qwen3-30B-A3B-Base", ""),
        ("qwen3:4b-q4_k_m", "repository", "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf"),
        ("hf:Qwen/Qwen3-0.6B", "hub", "Qwen/Qwen3-0.6B", ""),
        ("ms:Qwen/Qwen3-0.6B", "modelscope", "Qwen/Qwen3-0.6B", ""),
        ("Qwen/Qwen3-0.6B-GGUF/sub/Q.gguf", "repository", "Qwen/Qwen3-0.6B-GGUF", "sub/Q.gguf"),
        ("qwen2.5-coder:0.5b", "bundle", "", ""),
        ("qwen3:4b-thinking-2507-bf16", "repository", "Qwen/Qwen3-4B-Thinking-2507", ""),
        (
            "qwen3:4b-instruct-2507",
            "repository",
            "unsloth/Qwen3-4B-Instruct-2507-GGUF",
            "Qwen3-4B-Instruct-2507-Q4_K_M.gguf",
        ),
        ("qwen3:30b-a3b-instruct-2507:bf16", "repository", "Qwen/Qwen3-30B-A3B-Instruct-2507", ""),
        ("qwen3:30b-thinking-2507-bf16", "repository", "Qwen/Qwen3-30B-A3B-Thinking-2507", ""),
        ("qwen3:235b-thinking-2507", "repository", "Qwen/Qwen3-235B-A22B-Thinking-2507", ""),
        ("QwQ:32b:bf16", "repository", "Qwen/QwQ-32B", ""),
        ("QwQ:32b", "repository", "Qwen/QwQ-32B-GGUF", "qwq-32b-q4_k_m.gguf"),
        ("qwen3-embedding:0.6b", "repository", "Qwen/Qwen3-Embedding-0.6B", ""),
        ("qwen3-reranker:8b", "repository", "Qwen/Qwen3-Reranker-8B", ""),
    ],
)
def test_names(text: str, kind: str, repository: str, file: str) -> None:
    name = resolve(text)
    assert (name.kind, name.repository, name.file) == (kind, repository, file) and known(text)


def test_a_short_name_is_the_long_one() -> None:
    assert resolve("qwen3:30b-thinking-2507") == resolve("qwen3:30b-a3b-thinking-2507")
    assert resolve("qwen3:235B-instruct-2507").text == "qwen3:235b-a22b-instruct-2507"
    assert resolve("qwen3:4b") == replace(resolve("qwen3:4b-q4_k_m"), full="Qwen/Qwen3-4B")
    with pytest.raises(UserError, match=r"Unknown model 'qwen3:0.6b-q4_k_m'"):
        resolve("qwen3:0.6b-q4_k_m")


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").touch()
    (tmp_path / "Qwen" / "Qwen3-0.6B").mkdir(parents=True)
    assert resolve(str(tmp_path / "Qwen")).kind == "folder"
    assert resolve(str(tmp_path)).kind == "gguf"  # the one model in it
    assert resolve(str(tmp_path / "m.gguf")).path == tmp_path / "m.gguf"
    monkeypatch.chdir(tmp_path)
    assert resolve("Qwen/Qwen3-0.6B").kind == "folder"  # what is here wins; hf: asks for the other
    assert resolve("hf:Qwen/Qwen3-0.6B").kind == "hub"
    assert resolve("scripted:a/b.jsonl").path == Path("a/b.jsonl")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qwen3:0.6", "Did you mean qwen3:0.6b"),
        ("qwen3:32b-base", "qwen3:32b"),
        ("gpt-4", "Names: qwen3:0.6b, .*qwen2.5-coder:0.5b"),
        ("./nothing", "no model at './nothing'"),
        ("nothing.gguf", "no model at"),
        ("hf:../../etc/passwd", "Unknown model"),
        ("hf:Qwen/..", "Unknown model"),
        ("", "Unknown model"),
    ],
)
def test_unknown(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(text)


@pytest.mark.parametrize("text", ["word " * 20_000, "./" + "x" * 9000, "y" * 5000 + ".gguf", "\n" * 90], ids=len)
def test_a_long_name_is_quoted_in_part(text: str) -> None:
    quoted = unknown(text).partition("'")[2].partition("'")[0]
    assert text.startswith(quoted.removesuffix("...").encode().decode("unicode_escape"))
    assert quoted.endswith("...") and len(unknown(text)) < 1000
    with pytest.raises(UserError) as error:
        resolve(text)
    assert str(error.value) == unknown(text)


def test_prompts_are_not_models() -> None:
    assert not any(known(t) for t in ("hello", "and/or", "What is 1/2?", "qwen", "Is Qwen/Qwen3 good?"))
