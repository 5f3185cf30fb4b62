"""Log-probabilities of a prompt (echo with logprobs), beside transformers' on the same random model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from live import server
from msgspec.structs import replace

from ponder.engine.llm import LLM
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.packaged()
TEXTS = ["Ponder reads.", "你好 👋🏽 q\u0301", "x " * 100]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("tiny")
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=256, initializer_range=0.2)
    save_hf(path, random_checkpoint(config, noisy=True), "f32")
    tokenizer_files.save(TOKENIZER, path)
    return path


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    llm = LLM(folder, dtype="f32")
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text('"x"\n')
    with server({"tiny": lambda: llm, "script": lambda: LLM(f"scripted:{script}")}) as base:
        yield openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_equal_to_transformers(client: openai.OpenAI, folder: Path, max_tokens: int) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = [TOKENIZER.encode(t) for t in TEXTS]
    reply = client.completions.create(
        model="tiny", prompt=prompts, echo=True, logprobs=3, max_tokens=max_tokens, temperature=0, seed=1
    )
    for ids, text, choice in zip(prompts, TEXTS, reply.choices, strict=True):
        assert choice.text.startswith(text) and choice.logprobs is not None
        found: Any = choice.logprobs.token_logprobs
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, :, : TOKENIZER.vocab_size]  # rows above are padding
            wanted = torch.log_softmax(logits, -1).numpy()
        assert found[0] is None and len(found) == len(ids) + max_tokens
        exact = [float(wanted[place, id_]) for place, id_ in enumerate(ids[1:])]
        assert np.abs(np.array(found[1 : len(ids)]) - exact).max(initial=0) < 1e-4
        for place, top in enumerate(choice.logprobs.top_logprobs[1 : len(ids)]):
            assert max(top.values()) == pytest.approx(float(wanted[place].max()), abs=1e-4)
        assert choice.logprobs.text_offset[0] == 0
    assert reply.usage is not None and reply.usage.completion_tokens == max_tokens * len(TEXTS)
    assert reply.usage.prompt_tokens == sum(map(len, prompts))


def test_streamed_equals_whole(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "tiny", "prompt": TEXTS[0], "echo": True, "logprobs": 1, "max_tokens": 3, "n": 2,
                           "temperature": 0}  # fmt: skip
    whole = client.completions.create(**ask).choices
    scores: dict[int, list[Any]] = {0: [], 1: []}
    for chunk in client.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            scores[choice.index] += (choice.logprobs.token_logprobs or []) if choice.logprobs else []
    for choice in whole:
        assert choice.logprobs is not None and scores[choice.index][1:] == choice.logprobs.token_logprobs[1:]
        pieces, places = choice.logprobs.tokens or [], choice.logprobs.text_offset
        assert places == [len("".join(pieces[:i])) for i in range(len(pieces))]


def test_nothing_to_generate_without_logprobs(client: openai.OpenAI) -> None:
    choice = client.completions.create(model="script", prompt="Ponder.", echo=True, max_tokens=0).choices[0]
    assert (choice.text, choice.finish_reason, choice.logprobs) == ("Ponder.", "length", None)


def test_a_script_has_no_probabilities(client: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as error:
            client.completions.create(model="script", prompt="a b", echo=True, logprobs=1, stream=stream)
        assert error.value.param == "echo"
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(model="tiny", prompt="a", max_tokens=0)
    assert error.value.param == "max_tokens"
