"""The chat templates that Ponder renders, and which of them a model's own template text is.

    of_model(text, capability_of(text), has_block=True)        # "qwen3-thinking"

qwen3            a hybrid model: the request decides about the block, the model opens it
qwen3-thinking   Thinking-2507: the same, but the prompt ends in an open block: `<|im_start|>assistant\\n<think>\\n`
qwen3-instruct   Instruct-2507: no blocks at all
qwq              QwQ-32B: the prompt ends in an open block, and no thoughts are ever written back
qwen2.5          a default system message, no thinking

A template's text is only searched for marks, never executed (SEC-2).
"""

import re
from typing import Literal

from ponder.core.params import Capability
from ponder.text.tokenizer.tokenizer import Tokenizer

Family = Literal["qwen3", "qwen2.5"]
Template = Literal["qwen3", "qwen3-thinking", "qwen3-instruct", "qwq", "qwen2.5"]

_USUAL: dict[Capability, Template] = {
    "hybrid": "qwen3",
    "thinking": "qwen3-thinking",
    "instruct": "qwen3-instruct",
    "base": "qwen3",
}
_SAID = {
    "qwen2.5": "Qwen2.5",
    "qwen3-instruct": "Qwen3-Instruct-2507",
    "qwen3-thinking": "Qwen3-Thinking-2507",
    "qwq": "QwQ",
}
# A tag that is the end of a piece of output: after it come newlines at most, then a quote or the next statement.
# Inside a quoted piece Jinja writes newlines as \\n.
_OPEN_TAG = re.compile(r"""<think>(?:\\n|\s)*(?:['"]|\{[%{#]|$)""")


def capability_of(text: str) -> Capability:
    """What a model with this template can do: a switch in it, or a generation prompt that ends in an open block."""
    if "enable_thinking" in text:
        return "hybrid"
    _, mark, prompt = text.rpartition("add_generation_prompt")
    return "thinking" if mark and _OPEN_TAG.search(prompt) else "instruct"  # Thinking-2507 opens the block itself


def of_model(text: str | None, capability: Capability, *, has_block: bool) -> Template:
    """text: the model's own template, None if it has none. has_block: whether its vocabulary has <think>."""
    if not has_block:
        return "qwen2.5"
    if text is not None and capability in ("thinking", "instruct"):
        writes_blocks = "<think>" in text.rpartition("add_generation_prompt")[0]
        if writes_blocks != (capability == "thinking"):
            return "qwen3" if writes_blocks else "qwq"
    return _USUAL[capability]


def default_template(tokenizer: Tokenizer) -> Family:
    return "qwen2.5" if tokenizer.think is None else "qwen3"


def opens_block(template: Template) -> bool:
    """Whether the prompt itself opens the thinking block."""
    return template in ("qwen3-thinking", "qwq")


def switch_warning(template: Template, enable_thinking: bool | None) -> str | None:
    """What to say to somebody who asks a template for what it does not have."""
    if enable_thinking and template in ("qwen2.5", "qwen3-instruct"):
        return f"enable_thinking: the {_SAID[template]} template has no thinking; use a Qwen3 model that can think"
    if enable_thinking is False and opens_block(template):
        return f"enable_thinking: the {_SAID[template]} template opens the thinking block whatever it says"
    return None
