"""The `tokenizer.*` keys of a GGUF file, for llama.cpp.

llama.cpp wants exactly as many tokens as the embedding has rows: the padding rows become `[PADn]`, unused.
"""

from pathlib import Path
from typing import Any

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF
from ponder.model.config import ModelConfig
from ponder.model.formats.folder import chat_template, template_text
from ponder.text.tokenizer import vocabulary
from ponder.text.tokenizer.vocabulary import Vocabulary

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5


def source_tokenizer(origin: Path) -> tuple[Vocabulary, str | None]:
    """Vocabulary and chat template (None if there is none) of an HF folder or a GGUF file."""
    if origin.is_dir():
        return vocabulary.from_json(origin / "tokenizer.json"), chat_template(origin)
    gguf = GGUF(origin)
    return vocabulary.from_gguf(gguf), gguf_template(gguf)


def gguf_template(gguf: GGUF) -> str | None:
    """Raises LoadError for a template that is no text."""
    return template_text(gguf.metadata.get("tokenizer.chat_template"), gguf.path)


def tokenizer_metadata(vocab: Vocabulary, template: str | None, config: ModelConfig) -> dict[str, Any]:
    """Raises LoadError when the tokenizer has more tokens than the embedding rows."""
    size = max([*vocab.ids.values(), *vocab.added.values()]) + 1
    if size > config.vocab_size:
        raise LoadError(f"the tokenizer has {size} tokens, the embedding only {config.vocab_size} rows")
    tokens, types = [f"[PAD{i}]" for i in range(config.vocab_size)], [_UNUSED] * config.vocab_size
    for token, id_ in vocab.ids.items():
        tokens[id_], types[id_] = token, _NORMAL
    for token, id_ in vocab.added.items():
        # as llama.cpp's converter: <|fim_prefix|> and its like are control tokens, <think> and <tool_call> are not
        control = token in vocab.special or (token.startswith("<|") and token.endswith("|>"))
        tokens[id_], types[id_] = token, _CONTROL if control else _USER_DEFINED
    eos = config.eos_token_ids[0] if config.eos_token_ids else vocab.added.get(vocab.eos or "")
    padding = config.pad_token_id if config.pad_token_id is not None else config.bos_token_id
    ids = {"bos": config.bos_token_id, "eos": eos, "padding": padding}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in vocab.merges],
        **{f"tokenizer.ggml.{name}_token_id": id_ for name, id_ in ids.items() if id_ is not None},
        "tokenizer.ggml.add_bos_token": False,
        **({} if template is None else {"tokenizer.chat_template": template}),
    }
