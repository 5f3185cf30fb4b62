"""Write a tokenizer as the two files that transformers, vLLM, SGLang and llama.cpp's converter read.

tokenizer.json carries vocabulary, merges and added tokens; tokenizer_config.json the class, the end and padding
tokens and a chat template, without which a saved model could not chat elsewhere.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from ponder.text.chat.template import Family, default_template
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import SPLIT


def save(tokenizer: Tokenizer, folder: str | Path, template: str | None = None) -> None:
    """Write tokenizer.json and tokenizer_config.json; AutoTokenizer.from_pretrained(folder) gives equal ids.
    template: the model's own chat template; None is the one that its vocabulary is made for."""
    template = chat_template(default_template(tokenizer)) if template is None else template
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"tokenizer.json": tokenizer_json(tokenizer), "tokenizer_config.json": _config(tokenizer, template)}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def chat_template(template: Family) -> str:
    """A Jinja chat template for files that other programs read; Ponder itself renders in render.py. Qwen2.5's is the
    released one, Qwen3's is our own text that renders as the released one does (tests/text)."""
    return (resources.files("ponder.text") / "vocab" / f"{template}-chat-template.jinja").read_text("utf-8")


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of a tokenizer.json, as the released models have it."""
    vocab = tokenizer.vocabulary
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **_added(name, vocab.special)} for name, i in _by_id(vocab.added)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab.ids,
            "merges": vocab.merges,
        },
    }


def _config(tokenizer: Tokenizer, template: str) -> dict[str, Any]:
    vocab = tokenizer.vocabulary
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): _added(name, vocab.special) for name, i in _by_id(vocab.added)},
        "bos_token": None,
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
        "eos_token": vocab.eos or "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def _added(name: str, special: frozenset[str]) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {"content": name, **flags, "special": name in special}


def _by_id(added: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(added.items(), key=lambda item: item[1])
