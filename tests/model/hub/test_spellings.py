"""What a model answers to, and what it does not."""

import pytest

from ponder.model.hub.registry import BUNDLES, RELEASED, RETRIEVAL
from ponder.model.hub.spellings import answers_to, asked


def called(model: str, name: str) -> str:
    """How the model answers to the name: "exact", "form" or not at all."""
    answers, spelt = answers_to(model), asked(name)
    if not answers.exact.isdisjoint(spelt):
        return "exact"
    return "form" if not answers.form_of.isdisjoint(spelt) else ""


@pytest.mark.parametrize("short", [*RELEASED, *RETRIEVAL, *BUNDLES])
def test_a_name_of_the_tables_is_its_repository_and_its_last_part(short: str) -> None:
    repository = {**RELEASED, **RETRIEVAL, **BUNDLES}[short]
    last = repository.rpartition("/")[2]
    for model in (short, repository, f"hf:{repository}", f"/models/{last}"):
        for name in (short, short.upper(), f"{short}:latest", last, last.lower()):
            assert called(model, name) == "exact", (model, name)
        if not (model.endswith(".gguf") and model.startswith("/")):  # a file does not know its repository
            assert {called(model, name) for name in (repository, f"ms:{repository}")} == {"exact"}


@pytest.mark.parametrize(
    ("model", "name", "how"),
    [
        ("/models/Qwen3-8B", "qwen3:8b", "exact"),
        ("/models/Qwen3-8B", "Qwen/Qwen3-8B", "exact"),
        ("/models/mine", "mine", "exact"),
        ("someone/Qwen3-8B", "Qwen3-8B", "exact"),
        ("someone/Qwen3-8B", "Qwen/Qwen3-8B", ""),
        ("qwen3:8b", "qwen3:8b-base", ""),
        ("qwen3:8b", "qwen3:14b", ""),
        ("qwen3:8b", "qwen3:8b-q4_k_m", ""),
        ("qwen3:8b-q4_k_m", "Qwen/Qwen3-8B", "form"),
        ("qwen3:8b-q4_k_m", "qwen3:8b", "form"),
        ("qwen3:8b-q4_k_m", "Qwen/Qwen3-8B-GGUF", "exact"),
        ("/m/Qwen3-30B-A3B-UD-Q4_K_XL.gguf", "Qwen/Qwen3-30B-A3B", "form"),
        ("/m/Qwen_Qwen3-8B-IQ4_XS.gguf", "Qwen/Qwen3-8B", "form"),
        ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-8B", "form"),
        ("Qwen/Qwen3-8B-GPTQ-Int4", "qwen3:8b", "form"),
        ("Qwen/Qwen3-4B-Instruct-2507", "qwen3:4b-instruct-2507", "exact"),
        ("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B", ""),
        ("scripted:/tmp/replies.jsonl", "scripted:/tmp/replies.jsonl", "exact"),
        ("scripted:/tmp/replies.jsonl", "replies.jsonl", "exact"),
    ],
)
def test_answers(model: str, name: str, how: str) -> None:
    assert called(model, name) == how
