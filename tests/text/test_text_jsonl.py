"""The functions behind `ponder tokenize | render | parse`."""

from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.text import jsonl
from ponder.text.tokenizer.tokenizer import Tokenizer


def test_tokenize(tok: Tokenizer) -> None:
    assert jsonl.tokenize({"text": "Hello, world!"}, tok) == {
        "ids": [9707, 11, 1879, 0],
        "tokens": ["Hello", ",", " world", "!"],
    }
    assert 151645 not in jsonl.tokenize({"text": "<|im_end|>"}, tok)["ids"]
    assert jsonl.tokenize({"text": "<|im_end|>", "allow_control": True}, tok)["ids"] == [151645]
    assert jsonl.tokenize({"ids": [9707, 151645]}, tok) == {"text": "Hello<|im_end|>"}


def test_render_then_parse(tok: Tokenizer) -> None:
    chat = [{"role": "user", "content": "hi"}]
    call = {"name": "f", "arguments": {"x": 1}}
    answer = {"role": "assistant", "content": "yo", "reasoning_content": "T", "tool_calls": [{"function": call}]}
    prompt = jsonl.render({"messages": chat}, tok)
    whole = jsonl.render({"messages": [*chat, answer], "add_generation_prompt": False}, tok)
    assert whole["text"].startswith(prompt["text"]) and whole["warnings"] == []
    assert set(whole["spans"][0]) == {"start", "end", "message", "role", "kind", "trainable"}
    for prompt_form in ("ids", "text"):
        generated = {"ids": whole["ids"][len(prompt["ids"]) :], "prompt": prompt[prompt_form]}
        found = jsonl.parse(generated, tok)
        assert (found["reasoning"], found["content"], found["malformed_calls"]) == ("T", "yo", 0)
        assert [(c["name"], c["arguments"]) for c in found["tool_calls"]] == [("f", '{"x": 1}')]


def test_parse_text_reads_tags(tok: Tokenizer) -> None:
    text = "<think>\n\n</think>\n\nHi<|im_end|>\n"
    assert jsonl.parse({"text": text}, tok) == {
        "reasoning": None, "content": "Hi", "tool_calls": [], "malformed_calls": 0,
    }  # fmt: skip
    assert jsonl.parse({"text": "a</think>b", "prompt": "<|im_start|>assistant\n<think>\n"}, tok)["reasoning"] == "a"


def test_render_names_what_the_template_drops(tok: Tokenizer) -> None:
    chat = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"role": "robot", "content": "beep"}]
    result = jsonl.render({"messages": chat}, tok)
    assert result["text"] == "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
    assert len(result["warnings"]) == 2 and any("robot" in w for w in result["warnings"])
    assert any("message 0" in w and "list" in w for w in result["warnings"])
    ignored = {"role": "user", "content": "q", "tool_calls": [{"name": "f"}], "image": "x.png", "reasoning": None}
    warnings = jsonl.render({"messages": [ignored]}, tok)["warnings"]
    assert len(warnings) == 2 and "'tool_calls'" in warnings[0] and "'image'" in warnings[1]


@pytest.mark.parametrize(
    ("function", "raw", "named"),
    [
        (jsonl.tokenize, {"text": "a", "txt": 1}, "txt"),
        (jsonl.tokenize, {}, "text"),
        (jsonl.tokenize, {"text": "a", "ids": [1]}, "exactly one"),
        (jsonl.tokenize, {"ids": ["1"]}, "ids"),
        (jsonl.tokenize, {"ids": [9707, 151900]}, "151900"),
        (jsonl.tokenize, {"ids": [-1]}, "-1"),
        (jsonl.render, {"messages": [{"role": "user"}, {"role": "assistant", "tool_calls": [{}]}]}, "message 1"),
        (jsonl.render, {"messages": [], "history": "all"}, "history"),
        (jsonl.render, {"message": []}, "messages"),
        (jsonl.render, {"messages": [{"content": "x"}]}, "role"),
        (jsonl.render, {"messages": [{"role": "assistant", "tool_calls": 5}]}, "tool_calls"),
        (jsonl.render, {"messages": [{"role": "assistant", "ids": ["1"]}]}, "ids"),
        (jsonl.render, {"messages": [], "enable_thinking": "no"}, "enable_thinking"),
        (jsonl.parse, {"text": "a", "promt": ""}, "promt"),
        (jsonl.parse, {"ids": None}, "ids"),
        (jsonl.parse, [], "object"),
    ],
)  # fmt: skip
def test_bad_input_is_named(tok: Tokenizer, function: Any, raw: Any, named: str) -> None:
    with pytest.raises(UserError, match=named):
        function(raw, tok)
