"""Ponder: the Qwen3 system in one package.

    from ponder import LLM
    print(LLM().chat("Why is the sky blue?").text)

Names are imported on first use (PEP 562), so that `import ponder` stays fast and never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_EXPORTS = {
    "LLM": "ponder.engine.llm",
    "Message": "ponder.core.message",
    "ToolCall": "ponder.core.message",
    "SamplingParams": "ponder.core.params",
    "Thinking": "ponder.core.params",
    "Grammar": "ponder.core.params",
    "UserError": "ponder.core.errors",
}
__all__ = ["LLM", "Grammar", "Message", "SamplingParams", "Thinking", "ToolCall", "UserError", "__version__"]

if TYPE_CHECKING:
    from ponder.core.errors import UserError
    from ponder.core.message import Message, ToolCall
    from ponder.core.params import Grammar, SamplingParams, Thinking
    from ponder.engine.llm import LLM


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'ponder' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
