"""The `tokenizer.*` keys of a GGUF file, made from an HF folder's tokenizer.json or copied from another GGUF file.

llama.cpp wants exactly as many tokens as the embedding has rows: the padding rows become `[PADn]`, unused.
"""

import json
from pathlib import Path
from typing import Any

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF
from ponder.model.config import ModelConfig

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5


def tokenizer_metadata(source: Path, config: ModelConfig) -> dict[str, Any]:
    """source: a folder with tokenizer.json, or a .gguf file. Raises LoadError when there is no usable tokenizer."""
    if source.is_dir():
        tokens, types, merges = _from_json(source / "tokenizer.json")
        template = _chat_template(source)
    else:
        metadata = GGUF(source).metadata
        try:
            tokens, types, merges = (list(metadata[f"tokenizer.ggml.{k}"]) for k in ("tokens", "token_type", "merges"))
        except KeyError as e:
            raise LoadError(f"{source}: no byte-level BPE tokenizer in this file ({e} is missing)") from e
        template = metadata.get("tokenizer.chat_template")
    if len(tokens) > config.vocab_size:
        raise LoadError(f"{source}: the tokenizer has {len(tokens)} tokens, the embedding {config.vocab_size} rows")
    padding = range(len(tokens), config.vocab_size)
    eos = config.eos_token_ids[0] if config.eos_token_ids else None
    ids = {"bos": config.bos_token_id, "eos": eos, "padding": config.pad_token_id or config.bos_token_id}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens + [f"[PAD{i}]" for i in padding],
        "tokenizer.ggml.token_type": types + [_UNUSED] * len(padding),
        "tokenizer.ggml.merges": merges,
        **{f"tokenizer.ggml.{name}_token_id": id_ for name, id_ in ids.items() if id_ is not None},
        "tokenizer.ggml.add_bos_token": False,
        **({} if template is None else {"tokenizer.chat_template": template}),
    }


def _from_json(path: Path) -> tuple[list[str], list[int], list[str]]:
    """tokens by id, their types, merges as "left right"."""
    try:
        raw = json.loads(path.read_bytes())
        vocab = {int(id_): token for token, id_ in raw["model"]["vocab"].items()}
        merges = [m if isinstance(m, str) else " ".join(m) for m in raw["model"]["merges"]]
        added = {int(t["id"]): (t["content"], bool(t["special"])) for t in raw["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise LoadError(f"{path}: not a readable byte-level BPE tokenizer ({type(e).__name__}: {e})") from e
    size = max([*vocab, *added], default=-1) + 1
    if size > 1 << 22:
        raise LoadError(f"{path}: token id {size - 1}")
    tokens, types = [f"[PAD{i}]" for i in range(size)], [_UNUSED] * size
    for id_, token in vocab.items():
        tokens[id_], types[id_] = token, _NORMAL
    for id_, (token, special) in added.items():
        # llama.cpp's converter also calls <|fim_prefix|> and its like control tokens, whatever the flag says
        control = special or (token.startswith("<|") and token.endswith("|>"))
        tokens[id_], types[id_] = token, _CONTROL if control else _USER_DEFINED
    return tokens, types, merges


def _chat_template(folder: Path) -> str | None:
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text("utf-8")
    if (folder / "tokenizer_config.json").is_file():
        template = json.loads((folder / "tokenizer_config.json").read_bytes()).get("chat_template")
        return template if isinstance(template, str) else None
    return None
