"""/v1/rerank: by the embeddings' cosines, or by yes and no; what cannot be is a 400 that names the field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from live import server
from msgspec.structs import replace

from ponder.engine.llm import LLM
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.server.api.llamacpp.rerank import INSTRUCTION
from ponder.server.config import ServerConfig
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer

TEXTS = ["Gravity pulls.", "", "你好 👋🏽", "the same", "the same", "x " * 300]
QUERY = "What is the capital of China?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("tiny")
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=512, initializer_range=0.2)
    save_hf(folder, random_checkpoint(config, noisy=True), "f32")
    tokenizer_files.save(Tokenizer.packaged(), folder)
    (folder / "s.jsonl").write_text('"hi"\n')
    return folder


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[httpx.Client]:
    models = {
        "tiny": lambda: LLM(folder, dtype="f32"), "script": lambda: LLM(f"scripted:{folder / 's.jsonl'}"),
        "qwen3-reranker:0.6b": lambda: LLM(folder, dtype="f32"),
    }  # fmt: skip
    with server(models, ServerConfig(strict=True)) as url, httpx.Client(base_url=url + "/v1", timeout=30) as client:
        yield client


def ranked(http: httpx.Client, **body: Any) -> dict[str, Any]:
    reply = http.post("/rerank", json={"query": QUERY, "documents": TEXTS} | body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


@pytest.mark.parametrize("instruction", [None, "Find a greeting", ""])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_order_is_that_of_the_embeddings(http: httpx.Client, instruction: str | None, pooling: str) -> None:
    told = INSTRUCTION if instruction is None else instruction
    query = f"Instruct: {told}\nQuery:{QUERY}" if told else QUERY
    embedded = http.post("/embeddings", json={"input": [query, *TEXTS], "pooling": pooling}).json()
    vectors = np.array([row["embedding"] for row in embedded["data"]])
    reply = ranked(http, pooling=pooling, **({} if instruction is None else {"instruction": instruction}))
    scores = [result["relevance_score"] for result in reply["results"]]
    order = [result["index"] for result in reply["results"]]
    assert sorted(order) == list(range(len(TEXTS))) and scores == sorted(scores, reverse=True)
    assert scores == pytest.approx((vectors[1:] @ vectors[0])[order], abs=1e-6)
    assert order.index(3) + 1 == order.index(4), "of equals the first comes first"
    assert [result["document"]["text"] for result in reply["results"]] == [TEXTS[i] for i in order]
    assert reply["usage"] == embedded["usage"] and reply["model"] == "tiny"


def test_yes_and_no_by_the_name_or_as_asked(folder: Path, http: httpx.Client) -> None:
    """What the scores are is checked in engine/scoring/test_reranker.py."""
    with LLM(folder, dtype="f32") as llm:
        scores, count = llm.relevance(QUERY, TEXTS)
        greeting, _ = llm.relevance(QUERY, TEXTS, instruction="Find a greeting")
    named = ranked(http, model="Qwen3-Reranker-0.6B")
    assert (named["scoring"], named["usage"]["prompt_tokens"]) == ("yes_no", count)
    order = [result["index"] for result in named["results"]]
    assert [result["relevance_score"] for result in named["results"]] == sorted(scores.tolist(), reverse=True)
    assert [scores[i] for i in order] == sorted(scores, reverse=True) and order.index(3) + 1 == order.index(4)
    assert ranked(http, scoring="yes_no")["results"] == named["results"]
    told = ranked(http, scoring="yes_no", instruction="Find a greeting", top_n=1)["results"]
    assert told[0]["relevance_score"] == pytest.approx(float(greeting.max()))
    assert ranked(http)["scoring"] == "cosine" == ranked(http, model="qwen3-reranker-0.6b", scoring="cosine")["scoring"]
    assert ranked(http, scoring=None)["results"] == ranked(http, scoring="cosine")["results"]


def test_forms(http: httpx.Client) -> None:
    whole = ranked(http)["results"]
    assert ranked(http, documents=[{"text": t} for t in TEXTS])["results"] == whole
    assert ranked(http, documents=[{"text": TEXTS[0], "title": "x"}, *TEXTS[1:]], top_n=2)["results"] == whole[:2]
    bare = ranked(http, return_documents=False, top_n=99)["results"]
    assert bare == [{k: v for k, v in result.items() if k != "document"} for result in whole]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": None}, "query"), ({"query": 3}, "query"), ({"query": "x " * 600}, "documents"),
        ({"documents": None}, "documents"), ({"documents": []}, "documents"), ({"documents": "text"}, "documents"),
        ({"documents": ["a", 3]}, "documents"), ({"documents": [{"content": "a"}]}, "documents"),
        ({"documents": ["a"] * 2048}, "documents"), ({"documents": ["x " * 600]}, "documents"),
        ({"top_n": 0}, "top_n"), ({"top_n": "2"}, "top_n"), ({"return_documents": "no"}, "return_documents"),
        ({"pooling": "cls"}, "pooling"), ({"model": "script"}, "model"), ({"rank_fields": ["a"]}, "rank_fields"),
        ({"scoring": "logits"}, "scoring"), ({"scoring": "yes_no", "pooling": "last"}, "pooling"),
        ({"scoring": "yes_no", "model": "script"}, "model"), ({"scoring": "yes_no", "query": "x " * 600}, "documents"),
        ({"scoring": "yes_no", "documents": ["a", "x " * 600]}, "documents"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    reply = http.post("/rerank", json={"query": QUERY, "documents": TEXTS} | body)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["param"].startswith(field) or field in error["message"]
    assert len(error["message"]) < 300
