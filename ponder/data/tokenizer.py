"""A tokenizer of any size from any text: byte-level BPE with Qwen's split rule, single digits and control tokens.

    tokenizer = train_tokenizer(texts, 512, symbols=(" a", " b"))

Ids are laid out as in the released tokenizers: the 256 bytes, one token a merge, then the 26 control tokens. So
`tokenizer_files.save` writes files that transformers and llama.cpp read, and chats render as they do for Qwen3.
"""

import json
from collections.abc import Iterable

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from ponder.core.errors import UserError
from ponder.text.tokenizer import vocabulary
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import ADDED, KEPT_IN_TEXT, Vocabulary

SMALLEST = 256 + len(ADDED)
LARGEST = 1 << 20  # the library sets memory aside for all, and ends the process where there is too little


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, symbols: Iterable[str] = ()) -> Tokenizer:
    """vocab_size: ids in all, at most: a text that is too small has fewer merges. symbols: texts that become one id
    each whatever the text says, such as the letters after a blank that a task asks about.

    Raises UserError where the size does not even hold bytes, control tokens and symbols.
    """
    required = _merges_of(symbols)
    if vocab_size < SMALLEST + len(required):
        raise UserError(
            f"a vocabulary of {vocab_size} ids has no room for 256 bytes, {len(ADDED)} control tokens and "
            f"{len(required)} symbols of the tasks; take at least {SMALLEST + len(required)}",
            param="vocab_size",
        )
    if vocab_size > LARGEST:
        raise UserError(f"a vocabulary of {vocab_size} ids is too large; take at most {LARGEST}", param="vocab_size")
    merges = list(dict.fromkeys([*required, *_learn(texts, vocab_size - len(ADDED))]))
    tokens = list(dict.fromkeys(vocabulary.byte_symbols() + [a + b for a, b in merges]))[: vocab_size - len(ADDED)]
    known = set(tokens)
    ids = {token: n for n, token in enumerate(tokens)}
    added = {name: len(tokens) + n for n, name in enumerate(ADDED)}
    used = [(a, b) for a, b in merges if a in known and b in known and a + b in known]
    return Tokenizer(
        Vocabulary(ids, used, added, frozenset(ADDED) - KEPT_IN_TEXT, "<|im_end|>"), source="the trained vocabulary"
    )


def _learn(texts: Iterable[str], size: int) -> list[tuple[str, str]]:
    """The merges that the library finds, most useful first."""
    library = HFTokenizer(BPE())
    library.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(vocabulary.SPLIT), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=vocabulary.byte_symbols(), show_progress=False)
    library.train_from_iterator(texts, trainer)
    return [(a, b) for a, b in json.loads(library.to_str())["model"]["merges"]]


def _merges_of(symbols: Iterable[str]) -> list[tuple[str, str]]:
    """Merges, from left to right, that make one token of each symbol."""
    symbol_of = vocabulary.symbol_of_byte()
    merges: dict[tuple[str, str], None] = {}
    for symbol in symbols:
        if not symbol:
            raise UserError("an empty text cannot be a symbol", param="symbols")
        pieces = [symbol_of[byte] for byte in symbol.encode()]
        whole = pieces[0]
        for piece in pieces[1:]:
            merges[whole, piece] = None
            whole += piece
    return list(merges)
