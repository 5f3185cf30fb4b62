"""Spans, history modes, totality: what the renderer promises beyond the official template."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.message import Message, Part, Reasoning, Text, ToolCall, ToolResult
from ponder.text.chat.render import render
from ponder.text.chat.spans import Rendered
from ponder.text.tokenizer.tokenizer import Tokenizer

CHAT = [
    Message.system("S"),
    Message.user("hi"),
    Message.assistant("pre", reasoning="T1", tool_calls=(ToolCall("f", '{"x": 1}'), ToolCall("g"))),
    Message.tool("R1"),
    Message.tool("R2"),
    Message.assistant("done"),
]
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "f"}}]


def shown(result: Rendered, tok: Tokenizer) -> list[tuple[int, str, str, bool, str]]:
    return [
        (s.message, s.role, s.kind, s.trainable, tok.decode(result.ids[s.start : s.end], skip_special=False))
        for s in result.spans
    ]


def assert_tiles(result: Rendered) -> None:
    ends = [0, *(s.end for s in result.spans)]
    assert [s.start for s in result.spans] == ends[:-1] and ends[-1] == len(result.ids)
    assert all(s.start < s.end for s in result.spans)


def test_golden_spans(tok: Tokenizer) -> None:
    """FT-1: tool results and headers have no loss, <|im_end|> has, an empty block that nobody wrote has none."""
    result = render(CHAT, tok, add_generation_prompt=False)
    assert_tiles(result)
    calls = (
        '\n<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
        '\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>'
    )
    assert shown(result, tok) == [
        (0, "system", "header", False, "<|im_start|>system\n"),
        (0, "system", "text", False, "S"),
        (0, "system", "end", False, "<|im_end|>\n"),
        (1, "user", "header", False, "<|im_start|>user\n"),
        (1, "user", "text", False, "hi"),
        (1, "user", "end", False, "<|im_end|>\n"),
        (2, "assistant", "header", False, "<|im_start|>assistant\n"),
        (2, "assistant", "reasoning", True, "<think>\nT1\n</think>\n\n"),
        (2, "assistant", "text", True, "pre"),
        (2, "assistant", "tool_call", True, calls),
        (2, "assistant", "end", True, "<|im_end|>"),
        (2, "assistant", "end", False, "\n"),
        (3, "tool", "header", False, "<|im_start|>user"),
        (3, "tool", "tool_result", False, "\n<tool_response>\nR1\n</tool_response>"),
        (4, "tool", "tool_result", False, "\n<tool_response>\nR2\n</tool_response>"),
        (4, "tool", "end", False, "<|im_end|>\n"),
        (5, "assistant", "header", False, "<|im_start|>assistant\n"),
        (5, "assistant", "reasoning", False, "<think>\n\n</think>\n\n"),
        (5, "assistant", "text", True, "done"),
        (5, "assistant", "end", True, "<|im_end|>"),
        (5, "assistant", "end", False, "\n"),
    ]


def test_an_empty_block_that_the_model_wrote_is_trainable(tok: Tokenizer) -> None:
    result = render([Message.user("a"), Message.assistant("b", reasoning="")], tok, add_generation_prompt=False)
    block = (1, "assistant", "reasoning", True, "<think>\n\n</think>\n\n")
    assert block in shown(result, tok)


def test_generation_prompt_and_tools_belong_to_no_message(tok: Tokenizer) -> None:
    result = render(CHAT[:2], tok, tools=TOOLS, enable_thinking=False)
    assert_tiles(result)
    outside = [s for s in shown(result, tok) if s[0] == -1]
    assert outside[0][1:3] == ("system", "header") and "# Tools" in outside[0][4]
    assert outside[-1] == (-1, "assistant", "header", False, "<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_history_keep_leaves_every_block(tok: Tokenizer) -> None:
    chat = [Message.user("a"), Message.assistant("b", reasoning="T"), Message.user("c")]
    assert "T" not in render(chat, tok).text
    kept = render(chat, tok, history="keep").text
    assert "<|im_start|>assistant\n<think>\nT\n</think>\n\nb<|im_end|>" in kept


def outputs(tok: Tokenizer, r: random.Random) -> list[int]:
    """Generated ids that do not survive decoding and encoding: odd splits, half characters, unused and stray ids."""
    broken = [tok.encode("你")[0], 30, 151666, 151900, 220, 220, 198, 198]
    body = [r.choice([r.randrange(151643), r.choice(broken)]) for _ in range(r.randint(0, 30))]
    return r.choice([[151667, 198, *body, 151668, 271, *body], body, [151667, *body], [151657, *body, 151658], []])


def test_exact_history_extends_the_previous_prompt_id_by_id(tok: Tokenizer) -> None:
    """HC-2: prompt(n) + output(n) is a prefix of prompt(n + 1), also when the ids are no tokenisation of any text."""
    r = random.Random(4)
    changed = 0
    for _ in range(300):
        thinking = r.choice([None, False])
        chat = [Message.system("S")] * r.randint(0, 1) + [Message.user("question")]
        for step in range(4):
            prompt = render(chat, tok, tools=TOOLS, enable_thinking=thinking, history="exact")
            assert_tiles(prompt)
            output = outputs(tok, r) + r.choice([[], [151645]])
            prefill = [151667, 271, 151668, 271] if thinking is False else []
            assert prompt.ids[-len(prefill) or len(prompt.ids) :] == prefill
            answer = Message.assistant("lost in translation", reasoning="x", ids=(*prefill, *output))
            chat = [*chat, answer, *[Message.tool("R")] * r.randint(1, 2)]
            if step == 2:
                chat.append(Message.user("a new question must not change the past either"))
            following = render(chat, tok, tools=TOOLS, enable_thinking=thinking, history="exact")
            assert following.ids[: len(prompt.ids) + len(output)] == prompt.ids + output
            end = [] if output[-1:] == [151645] else [151645]
            assert following.ids[len(prompt.ids) + len(output) :][: len(end) + 1] == [*end, 198]
            changed += tok.encode(tok.decode(output, skip_special=False), allow_control=True) != output
    assert changed > 500, "the ids must really be such that re-tokenising would change them"


def test_exact_spans_follow_the_phases(tok: Tokenizer) -> None:
    ids = (151667, 198, 40, 151668, 271, 9707, 151657, 198, 151658)
    spans = shown(render([Message.user("a"), Message.assistant(ids=ids)], tok, history="exact"), tok)
    assert [s[2:] for s in spans if s[0] == 1] == [
        ("header", False, "<|im_start|>assistant\n"),
        ("reasoning", True, "<think>\nI</think>"),
        ("text", True, "\n\nHello"),
        ("tool_call", True, "<tool_call>\n</tool_call>"),
        ("end", True, "<|im_end|>"),
        ("end", False, "\n"),
    ]


texts = st.one_of(st.text(max_size=20), st.sampled_from(["", "\ud800", "</think>", "<think>", "\n", "<|im_end|>"]))
parts = st.one_of(
    st.builds(Text, texts),
    st.builds(Reasoning, texts),
    st.builds(ToolCall, texts, texts, texts),
    st.builds(ToolResult, texts, texts, texts),
)
messages = st.builds(
    Message,
    st.one_of(st.sampled_from(["system", "user", "assistant", "tool", "developer"]), texts),
    st.lists(parts, max_size=4).map(lambda p: tuple[Part, ...](p)),
    st.one_of(st.none(), st.lists(st.integers(-5, 1 << 33), max_size=5).map(tuple)),
)


@settings(max_examples=250, deadline=None)
@given(
    chat=st.lists(messages, max_size=6),
    thinking=st.sampled_from([None, True, False]),
    gen=st.booleans(),
    history=st.sampled_from(["strip", "keep", "exact"]),
    template=st.sampled_from(["qwen3", "qwen3-thinking", "qwen3-instruct", "qwq", "qwen2.5"]),
    tools=st.sampled_from([[], TOOLS]),
)
def test_total_for_any_messages(
    tok: Tokenizer, chat: list[Message], thinking: Any, gen: bool, history: Any, template: Any, tools: Any
) -> None:
    """TC-6: no exception, spans tile the ids, text is valid Unicode, unknown roles are named."""
    result = render(
        chat, tok, tools=tools, enable_thinking=thinking, add_generation_prompt=gen, history=history, template=template
    )
    assert_tiles(result)
    result.text.encode()
    if history != "exact":
        assert tok.decode(result.ids, skip_special=False) == nfc_pieces(result.text, tok)
    for message in chat:
        if message.role not in ("system", "user", "assistant", "tool"):
            assert any(repr(message.role) in w for w in result.warnings)


def nfc_pieces(text: str, tok: Tokenizer) -> str:
    return tok.decode(tok.encode(text))


def test_reasoning_part_even_empty_leaves_content_alone(tok: Tokenizer) -> None:
    content = "a </think> b"
    assert content in render([Message.user("q"), Message.assistant(content, reasoning="")], tok).text
    split = render([Message.user("q"), Message.assistant(content)], tok).text
    assert "<think>\na \n</think>\n\n b" in split


@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_parts_that_a_role_cannot_have_are_named(tok: Tokenizer, role: str) -> None:
    result = render([Message.user("a"), Message(role, (ToolCall("f"), Text("t")))], tok)
    assert any("message 1" in w and "assistant" in w for w in result.warnings)
