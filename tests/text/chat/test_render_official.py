"""The renderer against transformers' apply_chat_template with the official template (HC-1)."""

from typing import Any

import pytest
from generate_chats import Generator
from text_oracle import official, official_ids, qwen3_template

from ponder.core.message import message_from_dict
from ponder.text.chat.render import render
from ponder.text.chat.spans import Rendered
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import ADDED
from ponder.text.tokenizer_files import chat_template

U, GEN = {"role": "user", "content": "a"}, "<|im_start|>assistant\n"
F = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
THOUGHT = "<think>\nT1\n</think>\n\nans1"


def im(role: str, content: str) -> str:
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


def assistant(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tool(content: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content}


R = "<tool_response>\n{}\n</tool_response>"
CALL_F = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
CALL_G = '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
TOOLS = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function "
    'signatures within <tools></tools> XML tags:\n<tools>\n{"type": "function", "function": {"name": "f", '
    '"description": "d", "parameters": {"type": "object"}}}\n</tools>\n\nFor each function call, return a json object '
    "with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
# number -> (messages, options, text)
VECTORS: dict[int, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    1: ([{"role": "user", "content": "hi"}], {"gen": True}, im("user", "hi") + GEN),
    2: (
        [{"role": "user", "content": "hi"}],
        {"gen": True, "enable_thinking": False},
        im("user", "hi") + GEN + "<think>\n\n</think>\n\n",
    ),
    3: (
        [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}, assistant("yo")],
        {},
        im("system", "S") + im("user", "hi") + im("assistant", "<think>\n\n</think>\n\nyo"),
    ),
    4: (
        [U, assistant(THOUGHT), {"role": "user", "content": "b"}],
        {"gen": True},
        im("user", "a") + im("assistant", "ans1") + im("user", "b") + GEN,
    ),
    5: ([U, assistant(THOUGHT)], {}, im("user", "a") + im("assistant", THOUGHT)),
    6: ([U, assistant("ans1", reasoning_content="T1")], {}, im("user", "a") + im("assistant", THOUGHT)),
    7: (
        [U, assistant("ans1", reasoning_content="T1"), {"role": "user", "content": "b"}],
        {},
        im("user", "a") + im("assistant", "ans1") + im("user", "b"),
    ),
    8: (
        [U, assistant("", reasoning_content="T1", tool_calls=[call("f", {"x": 1})]), tool("R1"), tool("R2")],
        {"gen": True, "tools": [F]},
        im("system", TOOLS)
        + im("user", "a")
        + im("assistant", f"<think>\nT1\n</think>\n\n{CALL_F}")
        + im("user", R.format("R1") + "\n" + R.format("R2"))
        + GEN,
    ),
    9: (
        [
            U,
            assistant("pre", tool_calls=[{"name": "f", "arguments": '{"x": 1}'}, {"name": "g", "arguments": {}}]),
            tool("R"),
        ],
        {},
        im("user", "a") + im("assistant", f"pre\n{CALL_F}\n{CALL_G}") + im("user", R.format("R")),
    ),
    10: (
        [U, assistant(None, tool_calls=[call("f", {"x": 1})]), tool("R"), assistant("done")],
        {},
        im("user", "a")
        + im("assistant", CALL_F)
        + im("user", R.format("R"))
        + im("assistant", "<think>\n\n</think>\n\ndone"),
    ),
    11: (
        [
            U,
            assistant("c", reasoning_content="T"),
            {"role": "user", "content": R.format("R")},
        ],
        {},
        im("user", "a") + im("assistant", "<think>\nT\n</think>\n\nc") + im("user", R.format("R")),
    ),
    12: ([{"role": "user", "content": [{"type": "text", "text": "x"}]}], {"gen": True}, im("user", "") + GEN),
    13: (
        [U, {"role": "system", "content": "later"}, {"role": "user", "content": "b"}],
        {"gen": True},
        im("user", "a") + im("system", "later") + im("user", "b") + GEN,
    ),
    14: ([assistant("x", reasoning_content="T")], {}, im("assistant", "x")),
    15: ([U, assistant("T1\n</think>\n\nans1")], {}, im("user", "a") + im("assistant", THOUGHT)),
    16: ([U, tool({"x": 1})], {}, im("user", "a") + im("user", R.format(""))),
}


def ours(messages: list[dict[str, Any]], tok: Tokenizer, options: dict[str, Any]) -> Rendered:
    return render([message_from_dict(m, content_parts="official") for m in messages], tok, **options)


@pytest.mark.parametrize("number", VECTORS)
def test_vectors_of_the_chat_template(tok: Tokenizer, number: int) -> None:
    messages, options, text = VECTORS[number]
    options = {**options, "add_generation_prompt": options.get("gen", False)}
    options.pop("gen", None)
    result = ours(messages, tok, options)
    assert result.text == text
    # Number 11 has a tag in a user's text, which is text here unless the caller wants it otherwise (SEC-1).
    assert (result.ids == official_ids(text)) == (number != 11)
    assert ours(messages, tok, {**options, "allow_control": True}).ids == official_ids(text)


@pytest.mark.parametrize("nasty", [False, True])
def test_generated_conversations_equal_transformers(tok: Tokenizer, nasty: bool) -> None:
    template, current = qwen3_template()
    generator = Generator(20250429 + nasty, nasty=nasty, current=current)
    compared = 0
    for n in range(500 if nasty else 1600):
        messages, options = generator.chat()
        expected = official(messages, template, **options)
        result = ours(messages, tok, options)
        assert result.text == expected, (n, messages, options)
        assert official(messages, chat_template("qwen3"), **options) == expected  # the one exported models carry
        assert ours(messages, tok, {**options, "allow_control": True}).ids == official_ids(expected)
        if not any(tag in text for tag in ADDED for text in free_texts(messages, options)):
            assert result.ids == official_ids(expected), (n, messages, options)
            compared += 1
        odd = {m["role"] for m in messages} - {"system", "user", "assistant", "tool"}
        assert all(any(repr(role) in w for w in result.warnings) for role in odd)
    assert compared > (10 if nasty else 1000)


def free_texts(messages: list[dict[str, Any]], options: dict[str, Any]) -> list[str]:
    """Every text outside the block that a template takes out of an assistant's content."""
    texts = [repr(options.get("tools"))]
    for message in messages:
        read = message_from_dict(message, content_parts="official")
        texts += [read.text, read.reasoning or "", *(c.name + c.arguments for c in read.tool_calls)]
    return [t for t in texts if t]


def test_thinking_switch_ends_as_required(tok: Tokenizer) -> None:
    hi = [{"role": "user", "content": "hi"}]
    assert ours(hi, tok, {"enable_thinking": False}).ids[-7:] == [151644, 77091, 198, 151667, 271, 151668, 271]
    for on in (True, None):
        assert ours(hi, tok, {"enable_thinking": on}).ids[-3:] == [151644, 77091, 198]
