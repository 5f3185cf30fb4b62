"""Raw in both directions: what the model wrote comes back whole, streamed and not."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from live import saying, server

CALL = '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'
REPLIES = {
    "thoughts": "<think>\nHm 🦆.\n</think>\n\nYes.\n\n",
    "call": f"\n\nSo:\n{CALL}\n{CALL}\n",
    "broken": "a</think>\n\nb<think>\n\nc<tool_call>\nx",
    "plain": "\n\n  Grüße 你好 👋🏽!\n",
    "endless": "<think>\n" + "so on " * 40,
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(saying(tmp_path_factory.mktemp("scripts"), REPLIES)) as base:
        yield base


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize("prompt", ["x", "<|im_start|>assistant\n<think>\n", "<|endoftext|>", [151667, 5]])
@pytest.mark.parametrize("name", ["thoughts", "call", "broken", "plain"])
def test_what_was_written_comes_back_whole(client: openai.OpenAI, name: str, prompt: Any) -> None:
    ask: dict[str, Any] = {"model": name, "prompt": prompt, "max_tokens": 200}
    assert client.completions.create(**ask).choices[0].text == REPLIES[name]
    chunks = list(client.completions.create(**ask, stream=True))
    assert "".join(c.choices[0].text for c in chunks) == REPLIES[name]


@pytest.mark.parametrize("name", ["thoughts", "call", "broken", "plain"])
def test_so_it_is_for_ollama(url: str, name: str) -> None:
    ask = {"model": name, "prompt": "x", "raw": True}
    whole = httpx.post(url + "/api/generate", json=ask | {"stream": False}).json()
    assert whole["response"] == REPLIES[name] and "thinking" not in whole
    lines = [json.loads(line) for line in httpx.post(url + "/api/generate", json=ask).text.splitlines()]
    assert "".join(line["response"] for line in lines) == REPLIES[name]


def test_who_asks_ollama_for_thoughts_gets_them_apart(url: str) -> None:
    ask = {"model": "thoughts", "prompt": "x", "raw": True, "think": True, "stream": False}
    reply = httpx.post(url + "/api/generate", json=ask).json()
    assert (reply["thinking"], reply["response"].strip()) == ("Hm 🦆.", "Yes.")


def test_stop_strings_and_limits_count_everywhere(client: openai.OpenAI) -> None:
    cut = client.completions.create(model="thoughts", prompt="x", stop="</think>").choices[0]
    assert (cut.text, cut.finish_reason) == ("<think>\nHm 🦆.\n", "stop")
    short = client.completions.create(model="endless", prompt="x", max_tokens=9)
    assert short.choices[0].finish_reason == "length" and short.usage is not None
    assert short.usage.completion_tokens == 9, "no hand-over that nobody asked for"
    assert REPLIES["endless"].startswith(short.choices[0].text)


def test_a_budget_is_kept_and_its_sentence_is_part_of_the_text(client: openai.OpenAI) -> None:
    text = client.completions.create(
        model="endless", prompt="x", max_tokens=200, extra_body={"thinking_budget": 5}
    ).choices[0].text  # fmt: skip
    assert text.startswith("<think>\nso on so") and "Considering the limited time" in text
    assert text.count("</think>\n\n") == 1
