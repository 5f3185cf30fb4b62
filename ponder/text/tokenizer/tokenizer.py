"""The exact Qwen tokenizer: text -> ids -> bytes, on the `tokenizers` library.

    tok = Tokenizer.packaged()                 # no download: the vocabulary is in the package
    tok.encode("<|im_end|> is plain text")     # no control id, whatever the text says
    printf '{"text": "Hello"}' | ponder tokenize

Text and control tokens never mix (SEC-1): the BPE object inside does not know the added
tokens at all, so no text can become one. Code that wants a control id says so with an int; `allow_control=True`
is the caller's explicit wish to have control tokens found in the text, as Hugging Face does by default.
"""

import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import accumulate
from pathlib import Path

from tokenizers import Regex, normalizers, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer
from tokenizers.models import BPE

from ponder.core.client import still_wanted
from ponder.core.errors import ContextLengthExceeded, LoadError, UserError
from ponder.core.fingerprint import fingerprint
from ponder.core.gguf import GGUF
from ponder.text.tokenizer import vocabulary
from ponder.text.tokenizer.bpe import Merges, Names
from ponder.text.tokenizer.cuts import LOOK, parts
from ponder.text.tokenizer.utf8 import well_formed
from ponder.text.tokenizer.vocabulary import Kind, Vocabulary
from ponder.text.tokenizer.windows import Encoded, windows

# Threads of the library's own would take the cores from whoever computes; and a fork after them makes it complain.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
PART = 1 << 14  # characters of a long text that are encoded at once
_MAX_IDS = 1 << 20  # an id far outside would make every table of `vocab_size` entries huge
_BYTE_OF_SYMBOL = str.maketrans({symbol: chr(byte) for byte, symbol in vocabulary.symbol_of_byte().items()})


class Tokenizer:
    """Thread-safe and immutable. `control` maps every added token to its id; the named ids are None when the
    vocabulary lacks them (Qwen2.5 has no <think>). `vocab_size` is one more than the largest known id; the rows of
    a model's embedding above it are padding. `eos_ids` end an assistant turn."""

    _table: Merges | None
    _read: Callable[[], Vocabulary]
    _source: str

    def __init__(self, vocab: Vocabulary, *, source: str = "vocabulary") -> None:
        self.vocabulary = vocab
        self._library = _build(vocab, source)
        self._table = None
        self._name(Names(len(vocab.ids), vocab.added, vocab.special, vocab.eos))

    @classmethod
    def _of_table(cls, table: Merges, read: Callable[[], Vocabulary], source: str) -> "Tokenizer":
        """One that reads its vocabulary, and builds the library's object, when somebody needs them."""
        self = cls.__new__(cls)
        self._table, self._read, self._source = table, read, source
        self._name(table.names)
        return self

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return self._read()

    @cached_property
    def _library(self) -> HFTokenizer:
        return _build(self.vocabulary, self._source)

    @cached_property
    def newlines(self) -> frozenset[int]:
        """The ids that one or two newlines are."""
        return frozenset(self.encode("\n") + self.encode("\n\n"))

    def prepare(self) -> None:
        """Build the library's object now. It takes a quarter of a second and encodes ten times as fast as the table
        that a short run starts with: for whoever will encode many texts."""
        assert self._library is not None

    def _name(self, names: Names) -> None:
        added = names.added
        self.control = added
        self._name_of = {id_: name for name, id_ in added.items()}
        self.special_ids = frozenset(added[name] for name in names.special)
        self._bytes: dict[int, bytes] = {id_: name.encode() for id_, name in self._name_of.items()}
        # Longest first, as the official matcher prefers it. A vocabulary without added tokens matches nothing.
        longest = sorted(added, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest)) if longest else "(?!)")
        self._longest = len(longest[0]) if longest else 0
        self.vocab_size = max(names.size, 1 + max(added.values(), default=0))
        self.im_start = added.get("<|im_start|>")
        self.im_end = added.get("<|im_end|>")
        self.endoftext = added.get("<|endoftext|>")
        self.think = added.get("<think>")
        self.end_think = added.get("</think>")
        self.tool_call = added.get("<tool_call>")
        self.end_tool_call = added.get("</tool_call>")
        ends = (self.im_end, self.endoftext, added.get(names.eos or ""))
        self.eos_ids: tuple[int, ...] = tuple(dict.fromkeys(i for i in ends if i is not None))

    @staticmethod
    def packaged(kind: Kind = "qwen3") -> "Tokenizer":
        """The vocabulary shipped with Ponder; one for all who ask."""
        return _packaged(kind)

    @classmethod
    def from_path(cls, path: str | Path, cache: Path | None = None) -> "Tokenizer":
        """Read a model folder with a tokenizer.json, a tokenizer.json file, or a .gguf file. Raises LoadError.

        cache: a folder where a table is kept from which the next start reads in a tenth of the time.
        """
        path = Path(path)
        if path.suffix.lower() == ".gguf" and not path.is_dir():  # a folder may hold one of that name
            return cls.from_gguf(GGUF(path), cache)
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():  # nor a folder or a pipe of that name
            raise LoadError(f"{path}: no tokenizer.json there; give a model folder, a tokenizer.json or a .gguf file")
        if cache is None:
            return cls(vocabulary.from_json(file), source=str(file))
        return cls._cached(file, cache, lambda: vocabulary.from_json(file))

    @classmethod
    def from_gguf(cls, gguf: GGUF, cache: Path | None = None) -> "Tokenizer":
        """Read the tokenizer of an open GGUF file. cache: as in `from_path`. Raises LoadError."""
        if cache is None:
            return cls(vocabulary.from_gguf(gguf), source=str(gguf.path))
        return cls._cached(gguf.path, cache, lambda: vocabulary.from_gguf(gguf))

    @classmethod
    def _cached(cls, file: Path, cache: Path, read: Callable[[], Vocabulary]) -> "Tokenizer":
        path = cache / f"{_identity(file)}.safetensors"
        if path.exists():
            try:
                return cls._of_table(Merges.load(path), read, str(file))
            except LoadError:
                pass  # damaged: made again below
        made = cls(read(), source=str(file))
        try:
            cache.mkdir(parents=True, exist_ok=True)
            Merges.compile(made.vocabulary).save(path)
        except OSError:
            pass  # the next start takes as long as this one, nothing else is lost
        return made

    def encode(self, text: str, *, allow_control: bool = False, context: int | None = None) -> list[int]:
        """Text -> ids. Without allow_control no added token ever results; with it they are found in the text.
        context: as in `encode_pieces`."""
        return self.encode_pieces(self.split_control(text) if allow_control else [text], context)[0]

    def encode_pieces(self, pieces: Sequence[str | int], context: int | None = None) -> tuple[list[int], list[int]]:
        """Text runs and control ids -> (ids, owners): owners[k] is the index of the piece in which ids[k] begins.

        Neighbouring strings are joined before BPE: ids do not depend on where a caller cut its text. A token across
        a cut belongs to the piece of its first character, so a piece may own no id.
        context: the ids there is room for. Raises ContextLengthExceeded as soon as there are twice as many: nobody
        needs to know how many more.
        """
        ids: list[int] = []
        owners: list[int] = []
        at = 0
        while at < len(pieces):
            piece = pieces[at]
            if isinstance(piece, int):
                ids.append(piece)
                owners.append(at)
                at += 1
                continue
            run = []
            while at < len(pieces) and not isinstance(piece := pieces[at], int):  # bytes are a TypeError
                run.append(well_formed(piece))
                at += 1
            ends, first, begin = list(accumulate(map(len, run))), at - len(run), 0
            for size, found, start_of in self._encoded("".join(run), None if context is None else 2 * context):
                ids += found
                done, piece_at = 0, bisect_right(ends, begin)
                while piece_at < len(ends) and ends[piece_at] < begin + size:  # the next piece begins inside
                    upto = bisect_left(range(len(found)), ends[piece_at] - begin, key=start_of)
                    owners += [first + piece_at] * (upto - done)
                    done, piece_at = upto, piece_at + 1
                owners += [first + piece_at] * (len(found) - done)
                begin += size
                if context is not None and len(ids) > 2 * context:
                    raise ContextLengthExceeded(len(ids), context, at_least=True)
        return ids, owners

    def _encoded(self, text: str, enough: int | None) -> Iterator[Encoded]:
        """A well-formed text, run by run."""
        for part in parts(text, PART):
            if len(part) <= 2 * PART:
                yield Encoded(len(part), *self._encode(part))
            else:
                yield from windows(part, self._encode, PART, enough)

    def _encode(self, text: str) -> tuple[list[int], Callable[[int], int]]:
        """Well-formed text -> (ids, the character in which the id at a place begins). Raises Abandoned between the
        parts of a long one."""
        still_wanted()
        if self._table is not None and "_library" not in self.__dict__ and (found := self._table.encode(text)):
            ids, starts = found
            return ids, starts.__getitem__
        # Of a batch, because only then the library lets other threads run meanwhile. Places are asked one by one: a
        # list of all of them is made under the lock, a tenth of a second for a text of megabytes that has no cut.
        (encoding,) = self._library.encode_batch([text], add_special_tokens=False)

        def start_of(at: int) -> int:
            place = encoding.token_to_chars(at)
            assert place is not None, "an id that stands for no character"
            return place[0]

        return encoding.ids, start_of

    def split_control(self, text: str) -> list[str | int]:
        """Cut text at the added tokens in it, as the official tokenizer does: pieces for `encode_pieces`."""
        pieces: list[str | int] = []
        done = at = 0
        while at < len(text):  # step by step: a search holds the interpreter's lock
            found = self._pattern.search(text, at, at + LOOK + self._longest)
            if found is None or found.start() >= at + LOOK:
                at += LOOK
                continue
            if found.start() > done:
                pieces.append(text[done : found.start()])
            pieces.append(self.control[found[0]])
            done = at = found.end()
        return pieces if done == len(text) else [*pieces, text[done:]]

    def check_ids(self, ids: Iterable[int], param: str) -> None:
        """Raises UserError for an id that is not in the vocabulary. Ids come from outside wherever a caller may give
        them; a model would read beyond its embedding, or the rows that nobody trained."""
        for id_ in ids:
            if not 0 <= id_ < self.vocab_size:
                raise UserError(f"{param}: id {id_} is not in the vocabulary of {self.vocab_size}", param=param)

    def token_bytes(self, id_: int) -> bytes:
        """The bytes an id stands for; an added token is its name; b"" for an id that the vocabulary does not know."""
        found = self._bytes.get(id_)
        if found is None:
            found = self._bytes[id_] = self._spelled(id_)
        return found

    def _spelled(self, id_: int) -> bytes:
        if self._table is not None:
            return self._table.spelled(id_)
        symbols = self._library.id_to_token(id_) if 0 <= id_ < self.vocab_size else None
        return symbols.translate(_BYTE_OF_SYMBOL).encode("latin-1") if symbols is not None else b""

    def text_bytes(self, id_: int) -> bytes:
        """The bytes an id adds to the text that a user sees: like `token_bytes`, but b"" for special tokens (UT-3)."""
        return b"" if id_ in self.special_ids else self.token_bytes(id_)

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Ids -> text. Bytes that are not UTF-8 become U+FFFD, as in the official tokenizer."""
        of = self.text_bytes if skip_special else self.token_bytes
        return b"".join(map(of, ids)).decode("utf-8", "replace")


@cache
def _packaged(kind: Kind) -> Tokenizer:
    return Tokenizer(vocabulary.packaged(kind), source=f"the packaged {kind} vocabulary")


def _identity(file: Path) -> str:
    """Of the files a vocabulary is read from."""
    config = file.with_name("tokenizer_config.json")
    return fingerprint(file)[:32] + (fingerprint(config)[:32] if file.suffix == ".json" and config.is_file() else "")


def _build(vocab: Vocabulary, source: str) -> HFTokenizer:
    """The BPE object without any added token. Raises LoadError when the tables do not fit together."""
    missing = [s for s in vocabulary.byte_symbols() if s not in vocab.ids]
    if missing:
        raise LoadError(f"{source}: {len(missing)} of the 256 byte tokens are missing, so some text has no ids")
    strange = set("".join(vocab.ids)) - set(vocabulary.byte_symbols())
    if strange:
        raise LoadError(f"{source}: not a byte-level vocabulary, it holds {sorted(strange)[:3]}")
    taken = list(vocab.ids.values()) + list(vocab.added.values())
    if "" in vocab.added:
        raise LoadError(f"{source}: an added token has no text")
    if len(set(taken)) < len(taken) or min(taken) < 0 or max(taken) >= _MAX_IDS:
        raise LoadError(f"{source}: token ids are not unique, or out of range")
    try:
        model = BPE(vocab.ids, vocab.merges)
    except Exception as e:  # the library raises the bare type; its text names the merge that is wrong
        raise LoadError(f"{source}: {e}") from e
    bpe = HFTokenizer(model)
    bpe.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(vocabulary.SPLIT), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    return bpe
