"""Fields and routes that users of llama.cpp's and Ollama's servers look for."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import ollama
import openai
import pytest
from live import server

from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.server.api.openai.chat_request import logit_bias_of
from ponder.text.tokenizer.tokenizer import Tokenizer

HI: list[Any] = [{"role": "user", "content": "hi"}]
TOKENIZER = Tokenizer.packaged()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text('{"model": {"capability": "instruct"}}\n"Yes, well."\n')
    with server({"coder": partial(LLM, f"scripted:{script}")}, capacity=3) as base:
        yield base


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def test_timings_of_chats_and_completions(url: str) -> None:
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    for ask in (
        partial(client.chat.completions.create, model="coder", messages=HI),
        partial(client.completions.create, model="coder", prompt="hi"),
    ):
        reply: Any = ask()  # type: ignore[operator]
        last = [c for c in ask(stream=True) if c.choices and c.choices[0].finish_reason][-1]  # type: ignore[operator]
        for timings in (reply.model_extra["timings"], last.model_extra["timings"]):
            assert timings["predicted_n"] == reply.usage.completion_tokens
            assert timings["prompt_n"] + timings["cache_n"] == reply.usage.prompt_tokens
            assert timings["predicted_ms"] >= 0 and timings["prompt_ms"] >= 0


def test_completion_and_infill(http: httpx.Client) -> None:
    body = {"prompt": "<|im_start|>x", "n_predict": 2}
    reply = http.post("/completion", json=body).json()
    assert (reply["stop"], reply["stop_type"], reply["tokens_predicted"], reply["tokens_evaluated"]) == (
        True, "limit", 2, 2,
    )  # fmt: skip
    streamed = http.post("/completion", json=body | {"stream": True}).text
    assert streamed.count('"stop":false') >= 1 and streamed.count('"stop":true') == 1
    cut = http.post("/completion", json={"prompt": "x", "stop": ["well"], "repeat_penalty": 1.1}).json()
    assert (cut["content"], cut["stop_type"], cut["stopping_word"]) == ("Yes, ", "word", "well")
    filled = http.post("/infill", json={"input_prefix": "a", "input_suffix": "b", "prompt": " c"}).json()
    assert filled["content"] == "Yes, well." and filled["stop_type"] == "eos"
    assert filled["tokens_evaluated"] == 4 + len(TOKENIZER.encode("a c"))
    more = {"input_extra": [{"filename": "x.py", "text": "import y"}]}
    longer = http.post("/infill", json={"input_prefix": "a", "input_suffix": "b", **more}).json()
    assert longer["tokens_evaluated"] > filled["tokens_evaluated"] + 5
    for path, wrong, param in (
        ("/infill", {"input_prefix": "a"}, "input_suffix"),
        ("/infill", {"input_prefix": "a", "input_suffix": "b", "n": 2}, "n"),
        ("/completion", {"prompt": ["a", "b"]}, "prompt"),
        ("/completion", {"prompt": "a", "n_predict": 0}, "n_predict"),
    ):
        refused = http.post(path, json=wrong)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text


def test_slots_and_the_template(http: httpx.Client) -> None:
    slots = http.get("/slots").json()
    assert [s["id"] for s in slots] == [0, 1, 2] and not any(s["is_processing"] for s in slots)
    assert all(s["n_ctx"] == 40960 for s in slots) and http.get("/slots?fail_on_no_slot=1").status_code == 200
    prompt = http.post("/apply-template", json={"messages": HI}).json()["prompt"]
    assert prompt == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    begun = [*HI, {"role": "assistant", "content": "So"}]
    ids = http.post("/tokenize", json={"messages": begun, "continue_final_message": True}).json()["tokens"]
    assert TOKENIZER.decode(ids, skip_special=False) == prompt + "So"


def test_a_number_is_no_content(http: httpx.Client) -> None:
    for path, more in (("/v1/chat/completions", {}), ("/api/chat", {"model": "coder"}), ("/v1/messages", {})):
        for content in (123, True, 1.5):
            reply = http.post(path, json={"messages": [{"role": "user", "content": content}], "max_tokens": 5} | more)
            assert reply.status_code == 400 and "content" in reply.text, reply.text


def test_ollama_shows_what_there_is(url: str) -> None:
    shown = ollama.Client(url).show("coder")
    assert shown.template and ".Suffix" in shown.template and shown.parameters and "temperature 0.7" in shown.parameters
    assert shown.capabilities == ["completion", "tools", "insert"]
    assert shown.modelfile and shown.modelfile.startswith("FROM coder\n")


def test_ollama_goes_on_from_a_context(url: str) -> None:
    client = ollama.Client(url)
    first = client.generate(model="coder", prompt="hi")
    turn = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    said = turn + "Yes, well.<|im_end|>"
    assert first.context is not None and TOKENIZER.decode(first.context, skip_special=False) == said
    second = client.generate(model="coder", prompt="hi", context=first.context)
    assert second.prompt_eval_count == len(TOKENIZER.encode(f"{said}\n{turn}", allow_control=True))
    assert second.context is not None and len(second.context) > 2 * len(first.context) - 1
    assert "context" not in httpx.post(
        url + "/api/generate", json={"model": "coder", "prompt": "x", "raw": True, "stream": False}
    ).json()  # fmt: skip


def test_logit_bias_as_pairs(http: httpx.Client) -> None:
    """llama.cpp's clients write a list; false is never."""
    assert logit_bias_of([(15043, 1.5), ("7", 2), (11, False)]) == logit_bias_of({"15043": 1.5, "7": 2, "11": -100})
    for pair, said in (("Hello", "/tokenize"), (1.5, "logit_bias"), ([], "logit_bias")):
        refused = http.post("/completion", json={"prompt": "hi", "n_predict": 2, "logit_bias": [[pair, 1]]})
        assert refused.status_code == 400 and said in refused.text, refused.text
    with pytest.raises(UserError, match="with false"):
        logit_bias_of([(1, True)])
    body = {"prompt": "hi", "n_predict": 2, "logit_bias": [[15043, 1.5], [11, False]]}
    assert http.post("/completion", json=body).status_code == 200
    chat = {"model": "coder", "messages": HI, "max_tokens": 2, "logit_bias": body["logit_bias"]}
    assert http.post("/v1/chat/completions", json=chat).status_code == 200
