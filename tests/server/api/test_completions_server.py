"""POST /v1/completions by the official client: texts, ids, several prompts, streamed and not."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import openai
import pytest
from live import saying, server

TEXT = "Once upon a time — 很久以前 👋🏽."


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    with server(saying(tmp_path_factory.mktemp("scripts"), {"s": TEXT}, times=200)) as base:
        yield openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)


@pytest.mark.parametrize("prompt", ["hi", [1, 2, 3], ["a", "b"], [[1, 2], [3]]])
@pytest.mark.parametrize("n", [1, 2])
def test_streamed_equals_whole(client: openai.OpenAI, prompt: Any, n: int) -> None:
    ask = partial(client.completions.create, model="s", prompt=prompt, n=n, max_tokens=50, echo=True)
    whole = ask()
    texts = dict.fromkeys(range(len(whole.choices)), "")
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == {c.index: c.text for c in whole.choices}
    assert len(texts) == n * (len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1)
    assert all(text.endswith(TEXT) for text in texts.values())
    assert chunks[-1].usage is not None and whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_logprobs_have_their_places(client: openai.OpenAI) -> None:
    logprobs = client.completions.create(model="s", prompt="hi", logprobs=2, max_tokens=5).choices[0].logprobs
    assert logprobs is not None and logprobs.tokens and logprobs.text_offset
    assert len(logprobs.tokens) == len(logprobs.token_logprobs or []) == 5
    places = [len("".join(logprobs.tokens[:i])) for i in range(5)]
    assert logprobs.text_offset == places


def test_control_tokens_are_control_tokens_unless_the_text_is_not_trusted(client: openai.OpenAI) -> None:
    plain = client.completions.create(model="s", prompt="<|im_end|>", extra_body={"allow_special_tokens": False})
    control = client.completions.create(model="s", prompt="<|im_end|>")
    assert plain.usage and control.usage and plain.usage.prompt_tokens > control.usage.prompt_tokens == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**9]}, "prompt"),
        ({"suffix": "x", "echo": True}, "echo"),
        ({"suffix": "x", "prompt": [1]}, "prompt"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 50}, "logprobs"),
    ],
)
def test_a_bad_field_is_named(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(**{"model": "s", "prompt": "hi"} | fields)
    assert error.value.param == param, error.value.body
