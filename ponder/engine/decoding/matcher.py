"""A compiled grammar and its state in one sequence, by llguidance: which ids may come next.

Control tokens are special to the matcher, so no text rule (a JSON string, `.`) can ever let one through.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ponder.text.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:  # imported where a grammar is compiled: most requests have none
    import llguidance


class Matcher:
    """The state of one sequence's constraint. `fill_mask()` says what may come next, `accept(id)` moves on.

    mask: one bit an id, little-endian; at least one is set after filling. End tokens are allowed exactly when the text
    is complete. complete: the text so far satisfies the grammar. error: llguidance gave up (a limit was hit); only an
    end token is allowed then, and RequestState reports it.
    """

    def __init__(self, state: "llguidance.LLMatcher", size: int, eos_ids: tuple[int, ...]) -> None:
        self.mask: NDArray[np.uint8] = np.zeros(-(-size // 32) * 4, np.uint8)
        self._state = state
        self._eos_ids = eos_ids

    def fill_mask(self) -> None:
        self._state.unsafe_compute_mask_ptr(self.mask.ctypes.data, self.mask.size)
        if not self.mask.any() or self._state.is_error():
            self.mask[:] = 0
            self.allow(self._eos_ids)

    def allow(self, ids: Iterable[int]) -> None:
        """Let these come too."""
        for id_ in ids:
            self.mask[id_ >> 3] |= 1 << (id_ & 7)

    def accept(self, id_: int) -> None:
        self._state.consume_token(id_)

    def forced_tokens(self) -> list[int]:
        """The text to which there is no alternative, in the usual ids; other ids may write it too."""
        return list(self._state.compute_ff_tokens())

    @property
    def complete(self) -> bool:
        return not self._state.is_error() and bool(self._state.is_accepting())

    @property
    def error(self) -> str:
        return str(self._state.get_error()).split("\n")[0]


class Compiled:
    """A grammar compiled for one tokenizer; `start()` gives each sequence its own matcher."""

    def __init__(self, state: "llguidance.LLMatcher", size: int, eos_ids: tuple[int, ...], warnings: tuple[str, ...]):
        self._state = state
        self._size = size
        self._eos_ids = eos_ids
        self.warnings = warnings

    def warned(self, warnings: tuple[str, ...]) -> "Compiled":
        """The same with these warnings; what is compiled is shared by all who ask for it."""
        return Compiled(self._state, self._size, self._eos_ids, warnings)

    def start(self) -> Matcher:
        return Matcher(self._state.deep_copy(), self._size, self._eos_ids)

    def fits(self, ids: Iterable[int]) -> bool:
        """Whether these ids are a whole text of this grammar."""
        matcher = self.start()
        for id_ in ids:
            matcher.accept(id_)
        return matcher.complete


class _Source:
    """A tokenizer in the shape llguidance reads: fields by these names, and a call that encodes text."""

    def __init__(self, tokenizer: Tokenizer, eos_ids: tuple[int, ...]) -> None:
        self.eos_token_id = eos_ids[0]
        self.bos_token_id = None
        self.tokens = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
        self.special_token_ids = sorted({*tokenizer.control.values(), *eos_ids})
        self.eos_ids = eos_ids
        self._encode = tokenizer.encode
        content = (len(self.tokens), eos_ids, self.special_token_ids, hashlib.sha256(b"\0".join(self.tokens)).digest())
        self._content = repr(content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text if isinstance(text, str) else text.decode())


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Tokenizer, eos_ids: tuple[int, ...]) -> "llguidance.LLTokenizer":
    return _tables(_Source(tokenizer, eos_ids))


@lru_cache(maxsize=4)
def _tables(source: _Source) -> "llguidance.LLTokenizer":
    """The vocabulary as llguidance wants it: a trie of bytes, every added token special. Half a second, for most of
    which the interpreter's lock is held; so models with the same vocabulary have one."""
    import llguidance

    size, wrapped = len(source.tokens), llguidance.TokenizerWrapper(source)
    return llguidance.LLTokenizer(wrapped, n_vocab=size, eos_token=list(source.eos_ids))


def prepare(tokenizer: Tokenizer, eos_ids: tuple[int, ...]) -> None:
    """Make now what the first grammar of a vocabulary would wait for, and everybody else with it."""
    _vocabulary(tokenizer, eos_ids)


@lru_cache(maxsize=64)
def compile_source(tokenizer: Tokenizer, eos_ids: tuple[int, ...], source: str) -> Compiled | str:
    """A compiled grammar, or llguidance's message. Limits keep hostile input below a second and 64 MB (SEC-5).

    The first mask is computed here, in the caller's thread: it finds what no text can match, and costs the most."""
    import llguidance

    limits = llguidance.LLParserLimits(max_lexer_states=20_000, verbose_errors=False)
    state = llguidance.LLMatcher(_vocabulary(tokenizer, eos_ids), source, log_level=0, limits=limits)
    if not state.is_error() and not any(state.compute_bitmask()):
        return "no text can match it"
    if state.is_error():
        why = str(state.get_error()).split("<backtrace>")[0]
        return "no text can match it" if why.startswith("NoExtensionBias") else " ".join(why.split())
    return Compiled(state, tokenizer.vocab_size, eos_ids, tuple(state.get_grammar_warnings()))
