"""The chat templates that Ponder renders, and which of them a model's own template text is.

    of_model(text, capability_of(text), has_block=True)        # "qwen3-thinking"

qwen3            a hybrid model: the request decides about the block, the model opens it
qwen3-thinking   Thinking-2507: the same, but the prompt ends in an open block: `<|im_start|>assistant\\n<think>\\n`
qwen3-instruct   Instruct-2507: no blocks at all
qwq              QwQ-32B: the prompt ends in an open block, and no thoughts are ever written back
qwen2.5          a default system message, no thinking
qwen3-coder      Qwen3-Coder: tools and calls as XML, no thinking. It was published in several forms: -july is the
                 first, -tools speaks of tools where the others speak of functions, -next is Qwen3-Coder-Next's

A template's text is only searched for marks, never executed (SEC-2).
"""

import re
from typing import Literal

from ponder.core.errors import UserError
from ponder.core.params import Capability
from ponder.text.chat.coder_template import FORMS
from ponder.text.tokenizer.tokenizer import Tokenizer

Family = Literal["qwen3", "qwen2.5"]
Template = Literal[
    "qwen3", "qwen3-thinking", "qwen3-instruct", "qwq", "qwen2.5",
    "qwen3-coder", "qwen3-coder-july", "qwen3-coder-tools", "qwen3-coder-next",
]  # fmt: skip

TemplateTrust = Literal["known", "guessed", "unknown"]
"""known: the model's own text is one that Ponder renders. guessed: it has none. unknown: it is some other."""

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
    "qwen3": "Qwen3",
}
# A tag that is the end of a piece of output: after it come newlines at most, then a quote or the next statement.
# Inside a quoted piece Jinja writes newlines as \\n.
_JSON_CALLS = "<args-json-object>"  # in the tool header of all that write calls as JSON
_CODER_TOOLS = re.compile(r"<function>(?:\\n|\n)<name>")
_CODER_CALLS = "<function=example_function_name>"
_OPEN_TAG = re.compile(r"""<think>(?:\\n|\s)*(?:['"]|\{[%{#]|$)""")


def capability_of(text: str) -> Capability:
    """What a model with this template can do: a switch in it, or a generation prompt that ends in an open block."""
    if "enable_thinking" in text:
        return "hybrid"
    _, mark, prompt = text.rpartition("add_generation_prompt")
    return "thinking" if mark and _OPEN_TAG.search(prompt) else "instruct"  # Thinking-2507 opens the block itself


def of_model(text: str | None, capability: Capability, *, has_block: bool) -> Template:
    """text: the model's own template, None if it has none. has_block: whether its vocabulary has <think>."""
    if text is not None and (coder := _coder(text)) is not None:
        return coder
    if text is not None and not is_known(text) and capability == "instruct":
        return "qwen3-instruct"  # plain turns
    if not has_block:
        return "qwen2.5"
    if text is not None and capability in ("thinking", "instruct"):
        writes_blocks = "<think>" in text.rpartition("add_generation_prompt")[0]
        if writes_blocks != (capability == "thinking"):
            return "qwen3" if writes_blocks else "qwq"
    return _USUAL[capability]


def is_known(text: str) -> bool:
    """Whether this is the text of a template that Ponder renders: turns and tool header are those of one."""
    return "<|im_start|>" in text and (_JSON_CALLS in text or _coder(text) is not None)


def _coder(text: str) -> Template | None:
    """Which form of Qwen3-Coder's template this is."""
    if _CODER_CALLS not in text or not _CODER_TOOLS.search(text):
        return None
    if "render_item_list" in text:
        return "qwen3-coder-july"
    if "access to the following tools" in text:
        return "qwen3-coder-tools"
    return "qwen3-coder-next" if "args_value is string else args_value | tojson" in text else "qwen3-coder"


def calls_are_xml(template: Template) -> bool:
    """Whether calls are written as `<function=...>`, not as JSON."""
    return template in FORMS


def default_template(tokenizer: Tokenizer) -> Family:
    return "qwen2.5" if tokenizer.think is None else "qwen3"


def opens_block(template: Template) -> bool:
    """Whether the prompt itself opens the thinking block."""
    return template in ("qwen3-thinking", "qwq")


def template_warning(trust: TemplateTrust, template: Template) -> tuple[str, ...]:
    """What to say about a model when it is loaded."""
    said = _SAID.get(template, "Qwen3-Coder")
    if trust == "unknown":
        return (
            f"its chat template is none that Ponder knows: messages are written as {said} has them, which may not be "
            "what the model was trained on, and requests with tools are refused",
        )
    if trust == "guessed":
        return (
            f"it has no chat template, but <|im_end|> ends its turns: it is taken for a chat model and asked as {said}",
        )
    return ()


def check_tools(trust: TemplateTrust, template: Template) -> tuple[str, ...]:
    """Warnings for a request with tools. Raises UserError where nobody knows how the model reads them."""
    if trust == "unknown":
        raise UserError(
            "tools: the model's chat template is none that Ponder knows, so how it reads tools and writes calls is not "
            "known. Describe them in a message, or use a model with a template of Qwen's",
            param="tools",
            code="unknown_template",
        )
    if trust == "guessed":
        return (f"tools: the model has no chat template; they are written as {_SAID.get(template, template)} has them",)
    return ()


def switch_warning(template: Template, enable_thinking: bool | None) -> str | None:
    """What to say to somebody who asks a template for what it does not have."""
    said = _SAID.get(template, "Qwen3-Coder")
    if enable_thinking and (template in FORMS or template in ("qwen2.5", "qwen3-instruct")):
        return f"enable_thinking: the {said} template has no thinking; use a Qwen3 model that can think"
    if enable_thinking is False and opens_block(template):
        return f"enable_thinking: the {said} template opens the thinking block whatever it says"
    return None
