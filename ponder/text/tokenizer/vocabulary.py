"""The vocabulary of a Qwen tokenizer as values, read from tokenizer.json, from a GGUF file or from the package.

Every Qwen2, Qwen2.5 and Qwen3 model has the same 151,643 byte-level BPE tokens; only the added tokens differ.
The ids follow from the merges alone: the 256 byte symbols in GPT-2 order, then one token a merge. So
the package carries just the merges, compressed (0.6 MB instead of 11 MB).

A tokenizer that is not of this family (other split rule, other normaliser) is refused by name: it would give
almost the right ids, which is worse than none.
"""

import lzma
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ponder.core.errors import LoadError
from ponder.core.fingerprint import is_stand_in
from ponder.core.gguf import GGUF

Kind = Literal["qwen3", "qwen2.5"]

# The split rule of the official tokenizer.json.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Id 151643 and up, in this order, as in the official tokenizer.json. Qwen2.5 ends before <tool_response>.
_ADDED = """
<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|>
<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>
<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
<tool_response> </tool_response> <think> </think>
"""
ADDED = _ADDED.split()
# The tokens that decoding with skip_special keeps. GGUF files mark some of these as control tokens, the official
# tokenizer.json does not; the official flag wins, so that one model gives one text whatever file it came from.
KEPT_IN_TEXT = frozenset(ADDED[ADDED.index("<tool_call>") :])

_GGUF_CONTROL, _GGUF_USER_DEFINED = 3, 4


def byte_symbols() -> list[str]:
    """GPT-2's printable character for each byte, in the order of the first 256 ids (not in byte order)."""
    return list(symbol_of_byte().values())


def symbol_of_byte() -> dict[int, str]:
    """byte -> its character. Printable Latin-1 stays itself; the other bytes take U+0100 and up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {b: chr(b) for b in printable}
    rest = (b for b in range(256) if b not in table)
    return table | {b: chr(256 + n) for n, b in enumerate(rest)}


class Vocabulary(Struct, frozen=True):
    """ids: base token -> id. merges: pairs in priority order. added: added token -> id (never made from text).
    special: the added tokens that decoding leaves out. eos: the model's own end token, None when the file names none.
    """

    ids: dict[str, int]
    merges: list[tuple[str, str]]
    added: dict[str, int]
    special: frozenset[str]
    eos: str | None = None


def packaged(kind: Kind) -> Vocabulary:
    """The vocabulary shipped with Ponder: ids equal to the released Qwen3 or Qwen2.5 tokenizer.json."""
    raw = (resources.files("ponder.text") / "vocab" / "merges.txt.xz").read_bytes()
    merges = [(a, b) for a, b in (line.split(" ") for line in lzma.decompress(raw).decode().split("\n"))]
    tokens = byte_symbols() + [a + b for a, b in merges]
    names = ADDED if kind == "qwen3" else ADDED[: ADDED.index("<tool_response>")]
    added = {name: len(tokens) + n for n, name in enumerate(names)}
    ids = {token: n for n, token in enumerate(tokens)}
    return Vocabulary(ids, merges, added, frozenset(names) - KEPT_IN_TEXT, "<|im_end|>")


def from_gguf(gguf: GGUF) -> Vocabulary:
    """Read the tokenizer.ggml.* keys. Raises LoadError for another kind of tokenizer or damaged tables."""
    tokens, types = _token_types(gguf)
    added = _added_of(tokens, types)
    ids = {t: n for n, t in enumerate(tokens) if types[n] == 1}
    control = frozenset(t for t, n in added.items() if types[n] == _GGUF_CONTROL)
    where, eos = str(gguf.path), gguf.metadata.get("tokenizer.ggml.eos_token_id")
    merges = _pairs(_strings(gguf.metadata, "tokenizer.ggml.merges", where), where)
    name = tokens[eos] if isinstance(eos, int) and 0 <= eos < len(tokens) and tokens[eos] in added else None
    return Vocabulary(ids, merges, added, control - KEPT_IN_TEXT, name)


def added_in_gguf(gguf: GGUF) -> dict[str, int]:
    """`Vocabulary.added` alone, without building the rest. Raises LoadError like `from_gguf`."""
    return _added_of(*_token_types(gguf))


def _token_types(gguf: GGUF) -> tuple[list[str], list[int]]:
    meta, where = gguf.metadata, str(gguf.path)
    model, pre = meta.get("tokenizer.ggml.model"), meta.get("tokenizer.ggml.pre")
    if model != "gpt2" or pre not in ("qwen2", "deepseek-r1-qwen"):
        raise LoadError(f"{where}: tokenizer {model!r}/{pre!r} is not a Qwen2 or Qwen3 tokenizer (gpt2/qwen2)")
    tokens = _strings(meta, "tokenizer.ggml.tokens", where)
    types = meta.get("tokenizer.ggml.token_type")
    if not isinstance(types, list) or len(types) != len(tokens):
        raise LoadError(f"{where}: tokenizer.ggml.token_type does not have one entry for each token")
    return tokens, types


def _added_of(tokens: list[str], types: list[int]) -> dict[str, int]:
    return {tokens[n]: n for n, type_ in enumerate(types) if type_ in (_GGUF_CONTROL, _GGUF_USER_DEFINED)}


def from_json(path: Path) -> Vocabulary:
    """Read a Hugging Face tokenizer.json (and the tokenizer_config.json beside it, for the end token)."""
    config_path = path.with_name("tokenizer_config.json")
    try:
        for given in (path, config_path):
            if given.is_file() and (other := is_stand_in(given)):
                raise LoadError(f"{given}: not JSON, but {other}")
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        config = msgspec.json.decode(config_path.read_bytes(), type=_Config) if config_path.is_file() else _Config()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise LoadError(f"{path}: cannot be read as a tokenizer: {e}") from e
    file.check(path)
    added = {t.content: t.id for t in file.added_tokens}
    special = frozenset(t.content for t in file.added_tokens if t.special)
    merges = [m for m in file.model.merges if isinstance(m, tuple)]
    if len(merges) < len(file.model.merges):  # files from before tokenizers 0.20 write "a b"
        merges = _pairs([m for m in file.model.merges if isinstance(m, str)], str(path))
    eos = config.eos_token if isinstance(config.eos_token, str | None) else config.eos_token.content
    return Vocabulary(file.model.vocab, merges, added, special - KEPT_IN_TEXT, eos)


def _strings(meta: dict[str, Any], key: str, where: str) -> list[str]:
    value = meta.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise LoadError(f"{where}: {key} is missing or not a list of strings")
    return value


def _pairs(lines: list[str], where: str) -> list[tuple[str, str]]:
    pairs = [tuple(line.split(" ")) for line in lines]
    if any(len(p) != 2 for p in pairs):
        raise LoadError(f"{where}: a merge is not two tokens with one space between")
    return pairs  # type: ignore[return-value]  # every tuple has two items, checked above


class _Added(Struct):
    id: int
    content: str
    special: bool = False


class _Model(Struct):
    type: str
    vocab: dict[str, int]
    merges: list[str | tuple[str, str]]
    dropout: float | None = None
    byte_fallback: bool = False
    ignore_merges: bool = False
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None


class _Token(Struct):
    content: str


class _Config(Struct):
    eos_token: str | _Token | None = None


class _File(Struct):
    model: _Model
    added_tokens: list[_Added] = []
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None

    def check(self, path: Path) -> None:
        """Raise LoadError unless this is byte-level BPE with the Qwen split and NFC."""
        m = self.model
        plain = not (m.dropout or m.byte_fallback or m.ignore_merges)
        if m.type != "BPE" or not plain or m.continuing_subword_prefix or m.end_of_word_suffix:
            raise LoadError(f"{path}: a {m.type} tokenizer with options that Qwen does not have; Ponder reads Qwen's")
        if self.normalizer is None or self.normalizer.get("type") != "NFC":
            raise LoadError(f"{path}: the normalizer is not NFC, so this is not a Qwen2 or Qwen3 tokenizer")
        steps = (self.pre_tokenizer or {}).get("pretokenizers")
        wanted = [("Split", SPLIT, "Isolated", None), ("ByteLevel", None, None, False)]
        if not isinstance(steps, list) or [_step(s) for s in steps] != wanted:
            raise LoadError(f"{path}: the pre_tokenizer is not the one of Qwen2 and Qwen3")


def _step(raw: Any) -> tuple[Any, ...]:
    """The fields of a pre-tokenizer step that change ids, comparable."""
    if not isinstance(raw, dict):
        return ()
    pattern = raw.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    # add_prefix_space true would put a space before every text: (use_regex or add_prefix_space) must be false
    extra = None if raw.get("type") == "Split" else bool(raw.get("use_regex", True) or raw.get("add_prefix_space"))
    return raw.get("type"), regex, raw.get("behavior"), extra
