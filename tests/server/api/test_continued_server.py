"""A conversation that ends with the assistant's words, in every dialect: continued, and told."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.text.tokenizer.tokenizer import Tokenizer

MESSAGES: list[Any] = [{"role": "user", "content": "Capital?"}, {"role": "assistant", "content": "The capital is"}]
TURN = "<|im_start|>user\nCapital?<|im_end|>\n<|im_start|>assistant\n"
PROMPT = TURN + "<think>\n\n</think>\n\nThe capital is"
GOES_ON = "the last message is the assistant's: the reply goes on with it"


def ids_in(text: str) -> int:
    return len(Tokenizer.packaged().encode(text, allow_control=True))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text('" Paris."\n')
    with server({"s": partial(LLM, f"scripted:{script}")}) as base:
        yield base


def test_anthropic_and_ollama_continue_by_themselves(url: str) -> None:
    claude = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)
    message = claude.messages.create(model="s", max_tokens=30, messages=MESSAGES)
    assert [b.model_dump()["text"] for b in message.content] == [" Paris."]
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) == ids_in(PROMPT)
    assert GOES_ON in (message.model_extra or {})["warnings"]
    assert claude.messages.count_tokens(model="s", messages=MESSAGES).input_tokens == ids_in(PROMPT)
    reply = ollama.Client(url).chat("s", MESSAGES)
    assert (reply.message.content, reply.prompt_eval_count) == (" Paris.", ids_in(PROMPT))


def test_openai_says_so_and_else_begins_a_turn_with_a_warning(url: str) -> None:
    ask = partial(
        openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0).chat.completions.create, model="s"
    )  # fmt: skip
    for flags in ({"continue_final_message": True, "add_generation_prompt": False}, {"continue_final_message": True}):
        reply = ask(messages=MESSAGES, extra_body=flags)
        assert reply.choices[0].message.content == " Paris."
        assert reply.usage is not None and reply.usage.prompt_tokens == ids_in(PROMPT)
        assert (reply.model_extra or {})["effective"]["thinking"] is False
    new = ask(messages=MESSAGES)
    assert new.usage is not None and new.usage.prompt_tokens == ids_in(PROMPT + "<|im_end|>\n<|im_start|>assistant\n")
    assert "continue_final_message: true" in (new.model_extra or {})["warnings"][0]
    empty = ask(messages=[MESSAGES[0], {"role": "assistant", "content": ""}], extra_body=flags)
    assert empty.usage is not None and empty.usage.prompt_tokens == ids_in(TURN)


CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("messages", "fields", "param"),
    [
        (MESSAGES[:1], {"continue_final_message": True}, "continue_final_message"),
        ([*MESSAGES, CALL], {"continue_final_message": True}, "continue_final_message"),
        (MESSAGES, {"continue_final_message": True, "add_generation_prompt": True}, "add_generation_prompt"),
        (MESSAGES, {"add_generation_prompt": False}, "add_generation_prompt"),
        (
            MESSAGES,
            {"continue_final_message": True, "response_format": {"type": "json_object"}},
            "continue_final_message",
        ),
    ],
)
def test_what_cannot_be_continued_is_named(url: str, messages: Any, fields: dict[str, Any], param: str) -> None:
    reply = httpx.post(url + "/v1/chat/completions", json={"model": "s", "messages": messages, **fields})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text
