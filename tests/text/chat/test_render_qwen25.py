"""The Qwen2.5 template, against the released one (kept in the package, unchanged) through transformers."""

import json
from pathlib import Path
from typing import Any

from generate_chats import Generator
from text_oracle import official

from ponder.core.gguf import GGUF
from ponder.core.message import Message, message_from_dict
from ponder.text.chat.render import QWEN25_SYSTEM, render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import chat_template


def test_default_system_message(tok25: Tokenizer) -> None:
    expected = f"<|im_start|>system\n{QWEN25_SYSTEM}<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    result = render([Message.user("hi")], tok25)
    assert result.text == expected and QWEN25_SYSTEM.startswith("You are Qwen, created by Alibaba Cloud.")
    assert result.ids[:3] == [151644, 8948, 198] and result.ids[-3:] == [151644, 77091, 198]


def test_generated_conversations_equal_the_released_template(tok25: Tokenizer) -> None:
    template, generator = chat_template("qwen2.5"), Generator(25, nasty=True, current=False)
    for n in range(800):
        messages, options = generator.chat()
        messages = [plain(m) for m in messages]
        options.pop("enable_thinking", None)
        read = [message_from_dict(m) for m in messages]
        result = render(read, tok25, **options)
        assert result.text == official(messages, template, **options), (n, messages, options)


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """Without the two things in which we differ on purpose: this template quotes string arguments a second time, and
    knows no thoughts, while `message_from_dict` takes them out of the text."""
    message = {k: v for k, v in message.items() if k != "reasoning_content"}
    message["content"] = message["content"].replace("think>", "thought>")
    if message.get("tool_calls"):
        calls = [c.get("function", c) for c in message["tool_calls"]]
        message["tool_calls"] = [{**c, "arguments": as_object(c["arguments"])} for c in calls]
    return message


def as_object(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except json.JSONDecodeError:
        return {}


def test_reasoning_is_left_out_with_a_warning(tok25: Tokenizer) -> None:
    result = render([Message.user("a"), Message.assistant("b", reasoning="why")], tok25, enable_thinking=True)
    assert "why" not in result.text
    assert any("reasoning" in w for w in result.warnings) and any("Qwen3" in w for w in result.warnings)


def test_the_real_gguf_carries_this_template_and_vocabulary(tok25: Tokenizer) -> None:
    import os

    import pytest

    path = Path(os.environ.get("PONDER_CODER_GGUF", ""))
    if not path.is_file():
        pytest.skip("PONDER_CODER_GGUF does not name the Qwen2.5-Coder GGUF")
    gguf = GGUF(path)
    assert gguf.metadata["tokenizer.chat_template"] == chat_template("qwen2.5")
    assert Tokenizer.from_gguf(gguf).vocabulary == tok25.vocabulary
