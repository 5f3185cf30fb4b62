"""/tokenize, /detokenize, /props, and Ollama's requests that change what is there."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.model.hub import store
from ponder.model.hub.registry import resolve
from ponder.text.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.packaged()
TORTURE = "Grüße 你好 👨‍👩‍👧‍👦 <|im_end|> q\u0301 \x00"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("s")
    for name in ("one", "two"):
        (folder / name).write_text('"<think>\\nHm.\\n</think>\\n\\nYes."\n')
    (folder / "plain").write_text('{"model": {"capability": "instruct"}}\n"Yes."\n')
    models = {name: partial(LLM, f"scripted:{folder / name}") for name in ("one", "two", "plain")}
    with server(models) as base, httpx.Client(base_url=base, timeout=30) as client:
        yield client


def test_ids_and_back(http: httpx.Client) -> None:
    for field in ("content", "prompt"):
        reply = http.post("/tokenize", json={field: TORTURE}).json()
        assert reply["tokens"] == TOKENIZER.encode(TORTURE) and reply["count"] == len(reply["tokens"])
    assert http.post("/detokenize", json={"tokens": reply["tokens"]}).json() == {"content": TORTURE, "prompt": TORTURE}
    control = http.post("/tokenize", json={"content": "<|im_end|>", "allow_special_tokens": True}).json()
    assert control["tokens"] == [151645]
    assert http.post("/detokenize", json={"tokens": [151645]}).json()["content"] == "<|im_end|>"
    assert http.post("/tokenize", json={"content": ""}).json()["tokens"] == []


def test_names_of_llama_cpp(http: httpx.Client) -> None:
    ask = {"model": "plain", "messages": [{"role": "user", "content": "Hi"}]}
    assert http.post("/chat/completions", json=ask).json()["choices"][0]["message"]["content"] == "Yes."
    assert http.post("/completions", json={"model": "plain", "prompt": "Hi"}).json()["content"] == "Yes."
    assert http.get("/models").json() == http.get("/v1/models").json()
    assert http.get("/v1/health").json()["status"] == "ok"
    assert http.get("/chat/completions").status_code == 405


def test_pieces(http: httpx.Client) -> None:
    tokens = http.post("/tokenize", json={"content": TORTURE, "with_pieces": True}).json()["tokens"]
    raw = b"".join(bytes(t["piece"]) if isinstance(t["piece"], list) else t["piece"].encode() for t in tokens)
    assert raw.decode() == TORTURE and any(isinstance(t["piece"], list) for t in tokens)


def test_a_chat_in_ids_is_the_prompt_that_is_computed(http: httpx.Client) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": TORTURE}]
    tokens = http.post("/tokenize", json={"messages": messages}).json()["tokens"]
    usage = http.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 9}).json()["usage"]
    assert len(tokens) == usage["prompt_tokens"] and tokens[0] == 151644


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": "a", "prompt": "b"}, "prompt"),
        ("/tokenize", {"content": 3}, "content"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens"),
        ("/detokenize", {"tokens": [10**9]}, "tokens"),
        ("/detokenize", {"tokens": [True]}, "tokens"),
    ],
)
def test_bad_input_is_named(http: httpx.Client, path: str, body: dict[str, Any], param: str) -> None:
    reply = http.post(path, json=body)
    assert reply.status_code == 400 and param in f"{reply.json()['error']}", reply.text


def test_props_say_what_holds(http: httpx.Client) -> None:
    http.post("/tokenize", json={"content": "a"})
    props = http.get("/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 40960
    assert props["thinking"] == {
        "capability": "hybrid",
        "enabled": True,
        "source": "default",
        "budget": None,
        "max_budget": None,
        "tool_in_thinking": "close",
    }
    assert props["default_generation_settings"]["params"] == props["sampling"]["thinking"]
    http.post("/tokenize", json={"content": "a", "model": "plain"})
    assert http.get("/props?model=plain").json()["thinking"]["source"] == "model"
    assert http.get("/props?model=nobody").status_code == 404


def test_keep_alive_zero_unloads(http: httpx.Client) -> None:
    client = ollama.Client(str(http.base_url))
    hi = [{"role": "user", "content": "hi"}]
    assert client.chat("two", hi).message.content == "Yes."
    assert "two" in {m.model for m in client.ps().models}
    assert client.chat("two", hi, keep_alive=0).message.content == "Yes."
    assert "two" not in {m.model for m in client.ps().models}
    assert client.generate("two", "").done_reason == "load"
    assert client.generate("two", "", keep_alive="0s").done_reason == "unload"
    assert "two" not in {m.model for m in client.ps().models}


def test_delete_removes_downloads_only(http: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path))
    client = ollama.Client(str(http.base_url))
    with pytest.raises(ollama.ResponseError) as error:
        client.delete("qwen3:0.6b")
    assert error.value.status_code == 404
    folder = store.slot(resolve("qwen3:0.6b"))
    folder.mkdir(parents=True)
    (folder / "weights").write_text("x")
    store.finish(folder, "qwen3:0.6b", "test", ["weights"])
    assert client.delete("qwen3:0.6b").status == "success" and not folder.exists()
    own = tmp_path / "own.gguf"
    own.write_text("mine")
    for name in (str(own), str(tmp_path), "../own.gguf"):
        with pytest.raises(ollama.ResponseError):
            client.delete(name)
    assert own.exists()


@pytest.mark.parametrize("path", ["/api/copy", "/api/create", "/api/push", "/api/blobs/sha256:1"])
def test_the_rest_is_refused_by_name(http: httpx.Client, path: str) -> None:
    reply = http.post(path, content=json.dumps({"source": "one", "destination": "two", "model": "one"}))
    assert reply.status_code == 400 and path.split("/")[2] in reply.json()["error"]
