"""A tokenizer's merges as arrays in a file: a start that reads 4 MB instead of building 300,000 Python strings.

Building the `tokenizers` object of a Qwen vocabulary takes a quarter of a second, half of the time from the command to
the first id of a small model. Short texts, which is what a prompt begins with, are encoded here with the same rule: in
each piece of the split, merge the pair of the lowest rank, leftmost first, until none is left.

    table = Merges.compile(vocabulary)
    table.save(path); Merges.load(path).encode("Hello")      # ids, and where each begins; None: ask the library
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from tokenizers import Regex, normalizers, pre_tokenizers

from ponder.core.atomic import replacing
from ponder.core.errors import LoadError
from ponder.text.tokenizer import vocabulary
from ponder.text.tokenizer.vocabulary import Vocabulary

FORMAT = "1"  # raise it when the arrays change their meaning
SHORT = 4096  # characters; beyond, building the library's object pays


class Names(Struct, frozen=True):
    """What a `Vocabulary` says besides its tokens and merges. size: number of base tokens."""

    size: int
    added: dict[str, int]
    special: frozenset[str]
    eos: str | None


@dataclass(frozen=True, eq=False)
class Merges:
    """pairs: uint64 [M], left id << 32 | right id, sorted. results: uint64 [M], rank << 32 | new id.
    byte_ids: uint32 [256], the id of each byte. starts: uint32 [V + 1], where each id's bytes begin in `text`."""

    names: Names
    pairs: NDArray[np.uint64]
    results: NDArray[np.uint64]
    byte_ids: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    text: NDArray[np.uint8]

    @classmethod
    def compile(cls, vocab: Vocabulary) -> "Merges":
        """vocab: one that the tokenizer has accepted (byte-level, every merge made of its tokens)."""
        ids = vocab.ids
        keys = np.array([ids[a] << 32 | ids[b] for a, b in vocab.merges], np.uint64)
        made = np.array([rank << 32 | ids[a + b] for rank, (a, b) in enumerate(vocab.merges)], np.uint64)
        keys, last = np.unique(keys[::-1], return_index=True)  # of a pair that is listed twice the later rank holds
        symbols = {symbol: byte for byte, symbol in vocabulary.symbol_of_byte().items()}
        spelled = [b""] * (1 + max(ids.values()))
        for token, id_ in ids.items():
            spelled[id_] = bytes(symbols[c] for c in token)
        starts = np.zeros(len(spelled) + 1, np.uint32)
        np.cumsum([len(s) for s in spelled], out=starts[1:])
        byte_ids = np.array([ids[c] for _, c in sorted(vocabulary.symbol_of_byte().items())], np.uint32)
        names = Names(len(ids), vocab.added, vocab.special, vocab.eos)
        return cls(names, keys, made[::-1][last], byte_ids, starts, np.frombuffer(b"".join(spelled), np.uint8))

    def save(self, path: Path) -> None:
        """Raises OSError."""
        arrays = {f: getattr(self, f) for f in ("pairs", "results", "byte_ids", "starts", "text")}
        meta = {"format": FORMAT, "names": msgspec.json.encode(self.names).decode()}
        with replacing(path) as file:
            file.write(save(arrays, meta))

    @classmethod
    def load(cls, path: Path) -> "Merges":
        """Raises LoadError for anything but a whole table."""
        try:
            with safe_open(str(path), "np") as f:
                meta = f.metadata()
                if meta["format"] != FORMAT:
                    raise ValueError("another format")
                names = msgspec.json.decode(meta["names"], type=Names)
                pairs, results, byte_ids, starts, text = (
                    f.get_tensor(n) for n in ("pairs", "results", "byte_ids", "starts", "text")
                )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as e:
            raise LoadError(f"{path}: not a table of merges: {e}") from e
        table = cls(names, pairs, results, byte_ids, starts, text)
        if not table._sound():
            raise LoadError(f"{path}: not a table of merges: its numbers do not fit together")
        return table

    def _sound(self) -> bool:
        last = len(self.starts) - 1
        arrays = (self.pairs, self.results, self.byte_ids, self.starts, self.text)
        return bool(
            [a.dtype.str for a in arrays] == ["<u8", "<u8", "<u4", "<u4", "|u1"]
            and all(a.ndim == 1 for a in arrays)
            and len(self.pairs) == len(self.results)
            and len(self.byte_ids) == 256
            and last >= 0
            and self.starts[-1] == len(self.text)
            and int(self.byte_ids.max()) < last
            and int((self.results & np.uint64(0xFFFFFFFF)).max(initial=np.uint64(0))) < last
        )

    def spelled(self, id_: int) -> bytes:
        """The bytes of a base token, b"" for an id that is none."""
        if not 0 <= id_ < len(self.starts) - 1:
            return b""
        return self.text[self.starts[id_] : self.starts[id_ + 1]].tobytes()

    def encode(self, text: str) -> tuple[list[int], list[int]] | None:
        """(ids, the character of `text` in which each begins). None for a long text, or one that NFC changes."""
        if len(text) > SHORT or normalizers.NFC().normalize_str(text) != text:
            return None
        ids: list[int] = []
        starts: list[int] = []
        for piece, (start, _) in _SPLIT.pre_tokenize_str(text):
            made, at = self._merge(piece.encode()), 0
            first = [start + n for n, c in enumerate(piece) for _ in range(len(c.encode()))]  # character of each byte
            for id_ in made:
                ids.append(id_)
                starts.append(first[at])
                at += int(self.starts[id_ + 1] - self.starts[id_])
        return ids, starts

    def _merge(self, piece: bytes) -> list[int]:
        ids = self.byte_ids[np.frombuffer(piece, np.uint8)].astype(np.uint64)
        while len(ids) > 1 and len(self.pairs):
            keys = ids[:-1] << np.uint64(32) | ids[1:]
            at = np.minimum(self.pairs.searchsorted(keys), len(self.pairs) - 1)
            known = self.pairs[at] == keys
            if not known.any():
                break
            results = np.where(known, self.results[at], np.uint64(0xFFFFFFFFFFFFFFFF))
            best = int(results.argmin())  # the lowest rank; of equals the leftmost
            ids = np.concatenate([ids[:best], results[best : best + 1] & np.uint64(0xFFFFFFFF), ids[best + 2 :]])
        return [int(i) for i in ids]


_SPLIT = pre_tokenizers.Split(Regex(vocabulary.SPLIT), "isolated")
