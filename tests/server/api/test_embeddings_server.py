"""Embeddings over HTTP, beside transformers' hidden states on the same random model."""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import ollama
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

TEXTS = ["", "a", "Ponder reads.", "你好 👋🏽", "x " * 700, "the same", "the same"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("tiny")
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=2048, initializer_range=0.2)
    save_hf(path, random_checkpoint(config, noisy=True), "f32")
    tokenizer_files.save(Tokenizer.packaged(), path)
    return path


@pytest.fixture(scope="module")
def base(folder: Path) -> Iterator[str]:
    llm = LLM(folder, dtype="f32")
    with server({"tiny": lambda: llm}) as url:
        yield url


def test_equal_to_transformers(base: str, folder: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    tokenizer = Tokenizer.packaged()
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
    for pooling in ("last", "mean"):
        reply = client.embeddings.create(model="tiny", input=TEXTS, extra_body={"pooling": pooling})
        for text, item in zip(TEXTS, reply.data, strict=True):
            ids = tokenizer.encode(text)
            ids = [*ids, 151643] if pooling == "last" or not ids else ids
            with torch.no_grad():
                states = model(torch.tensor([ids])).last_hidden_state[0].numpy()
            wanted = states[-1] if pooling == "last" else states.mean(axis=0)
            got = np.array(item.embedding)
            assert abs(np.linalg.norm(got) - 1) < 1e-5
            assert float(got @ wanted / np.linalg.norm(wanted)) > 0.9999, (pooling, text[:20])
    assert reply.data[-1].embedding == reply.data[-2].embedding


def test_forms(base: str) -> None:
    client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
    plain = client.embeddings.create(model="tiny", input="hi", encoding_format="float").data[0].embedding
    raw = client.embeddings.create(model="tiny", input="hi", encoding_format="base64").data[0].embedding
    assert np.frombuffer(base64.b64decode(str(raw)), "<f4").tolist() == plain
    short = client.embeddings.create(model="tiny", input="hi", dimensions=8).data[0].embedding
    assert len(short) == 8 and abs(np.linalg.norm(short) - 1) < 1e-5
    ids = client.embeddings.create(model="tiny", input=Tokenizer.packaged().encode("hi")).data[0].embedding
    assert ids == pytest.approx(plain, abs=1e-7)
    assert ollama.Client(base).embed("tiny", "hi").embeddings[0] == pytest.approx(plain, abs=1e-7)
    for body in ({"input": []}, {"input": [1, "a"]}, {"input": "x", "dimensions": 0}, {"input": "x " * 5000}):
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="tiny", **body)
