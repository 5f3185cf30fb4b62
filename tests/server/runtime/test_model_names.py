"""What clients may call a model, by the official client."""

import argparse
import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from live import serving
from msgspec.structs import replace
from safetensors.numpy import save_file

from ponder.cli import serve_backends
from ponder.cli.main import build_parser
from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.server.runtime.pool import Pool
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

HI: list[Any] = [{"role": "user", "content": "hi"}]


@pytest.fixture
def opener(tmp_path: Path) -> Callable[[str], Callable[[], LLM]]:
    def of(text: str) -> Callable[[], LLM]:
        path = tmp_path / f"{text}.jsonl"
        path.write_text(f'"{text}"\n')
        return partial(LLM, f"scripted:{path}")

    return of


def test_each_has_its_own_name_and_a_form_stands_in_for_what_is_not_there(
    opener: Callable[[str], Callable[[], LLM]],
) -> None:
    pool = Pool({"qwen3:8b-q4_k_m": opener("a"), "Qwen/Qwen3-8B": opener("b"), "Qwen3-4B-Q8_0.gguf": opener("c")})
    for name in ("Qwen/Qwen3-8B", "qwen3:8b", "Qwen3-8B"):
        assert pool.find(name).name == "Qwen/Qwen3-8B"
    assert pool.find("qwen3:8b-q4_K_M").name == pool.find("default").name == "qwen3:8b-q4_k_m"
    assert pool.find("Qwen/Qwen3-4B").name == "Qwen3-4B-Q8_0.gguf"
    assert pool.offers("Qwen/Qwen3-4B") is None, "it is not these very files"


def test_aliases_are_listed_and_any_name_is_answered_with_a_warning(
    opener: Callable[[str], Callable[[], LLM]],
) -> None:
    pool = Pool(
        {"gpt-4o": opener("Yes.")}, aliases={"gpt-4o": ["small"]}, known_as={"gpt-4o": ["qwen3:8b"]}, any_name=True
    )
    with serving(pool) as base:
        client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
        assert [m.id for m in client.models.list()] == ["gpt-4o", "small"]
        assert client.models.retrieve("small").id == "small"
        assert [m["name"] for m in httpx.get(base + "/api/tags").json()["models"]] == ["gpt-4o", "small"]
        for name in ("gpt-4o", "small", "Qwen/Qwen3-8B"):
            reply = client.chat.completions.create(model=name, messages=HI)
            assert (reply.model, reply.choices[0].message.content) == ("gpt-4o", "Yes.")
            assert "warnings" not in (reply.model_extra or {})
        reply = client.chat.completions.create(model="gpt-5", messages=HI)
        assert reply.model_extra == reply.model_extra | {
            "warnings": ["model 'gpt-5' is not offered here: gpt-4o answers"]
        }
        body = {"model": "claude-x", "messages": HI, "max_tokens": 9}
        assert "claude-x" in httpx.post(base + "/v1/messages", json=body).json()["warnings"][0]
        body = {"model": "llama3", "messages": HI, "stream": False}
        assert "llama3" in httpx.post(base + "/api/chat", json=body).json()["warnings"][0]


def flags(*words: str) -> argparse.Namespace:
    return build_parser("serve")[1].parse_args(words)


def test_what_it_was_started_with_and_served_model_names(tmp_path: Path) -> None:
    a, b = (f"scripted:{tmp_path}/{name}.jsonl" for name in "ab")
    for path in (a, b):
        Path(path.removeprefix("scripted:")).write_text('"x"\n')
    with contextlib.ExitStack() as stack:
        pool = serve_backends.pool(flags(a, b, "--served-model-name", "one", "--served-model-name", f"two={b}"), stack)
        assert list(pool.listed()) == ["one", "two"]
        assert pool.find(a).name == "one" and pool.find(b).name == "two" and pool.default == "one"
        stack.callback(lambda: pool.models["one"].llm.close())  # type: ignore[union-attr]
    for words, match in (
        ((a, "--served-model-name", "x=nope"), "NAME=MODEL"),
        ((a, b, "--served-model-name", "x", "--served-model-name", f"x={b}"), "two models are called x"),
    ):
        with contextlib.ExitStack() as stack, pytest.raises(UserError, match=match):
            serve_backends.pool(flags(*words), stack)


def test_adapters_are_models_of_their_own(tmp_path: Path) -> None:
    """`--adapter NAME=PATH`: the same base, other weights, chosen by the model's name."""
    config = replace(PRESETS["tiny"], vocab_size=151936, tie_word_embeddings=False)
    save_hf(tmp_path / "base", random_checkpoint(config), "f32")
    save(Tokenizer.packaged(), tmp_path / "base")
    for name in ("sql", "poet"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 900}')
        generator = np.random.default_rng(len(name))
        pair = {"A": generator.normal(0, 1, (2, 96)), "B": generator.normal(0, 1, (64, 2))}
        prefix = "base_model.model.model.layers.1.mlp.down_proj.lora_"
        tensors = {f"{prefix}{part}.weight": value.astype(np.float32) for part, value in pair.items()}
        save_file(tensors, tmp_path / name / "adapter_model.safetensors")
    base, words = str(tmp_path / "base"), ["--adapter", f"sql={tmp_path / 'sql'}", "--adapter", str(tmp_path / "poet")]
    more = ["--keep", "3", "--speculation", "off", "--max-context", "64", "--max-batch", "2"]
    with contextlib.ExitStack() as stack:
        pool = serve_backends.pool(flags(base, *words, *more), stack)
        assert list(pool.listed()) == ["base", "sql", "poet"]
        with serving(pool) as url:
            client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
            said = {}
            for name in ("base", "sql", "poet", "base", "sql"):
                reply = client.completions.create(model=name, prompt="hello", max_tokens=6, temperature=0)
                assert reply.model == name and said.setdefault(name, reply.choices[0].text) == reply.choices[0].text
            assert len(set(said.values())) == 3
    for bad, match in (
        ([f"sql={tmp_path / 'no'}"], "is not there"), ([str(tmp_path / "sql")] * 2, "NAME=PATH"),
        ([f"base={tmp_path / 'sql'}"], "another model is called base"),
    ):  # fmt: skip
        given = [word for path in bad for word in ("--adapter", path)]
        with contextlib.ExitStack() as stack, pytest.raises(UserError, match=match):
            serve_backends.pool(flags(base, *given, *more), stack)
