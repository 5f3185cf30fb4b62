"""Windows over a text without a sure place: the ids of the whole, in linear work."""

import threading
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ponder.core.client import ABANDONED, Abandoned
from ponder.core.errors import ContextLengthExceeded
from ponder.text.tokenizer import tokenizer as module
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.windows import _JOINS, windows

KINDS = "aZst'\u0301\u00e9\u0345\u4e00\u9fa5、。!_-=*~19٣²½ \u00a0\u3000\t\n\r\u1100\u1161\u11a8가ก็नि🤖\u200d\u0130ſK"
RUNS = st.lists(st.tuples(st.sampled_from(KINDS) | st.sampled_from(["ab", "'s", "e\u0301", "नि", " \n", "!?", "aA"]),
                          st.integers(1, 40)), min_size=1, max_size=6)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(RUNS, st.integers(4, 24))
@example([("!", 40), ("'", 1), ("s", 40)], 8)
@example([("!", 9), ("\n", 40), (" ", 20), ("\n", 3)], 8)
@example([("a", 1), ("\n", 1), (" ", 100), ("\n", 1), ("b", 1)], 8)
@example([("'", 1), ("r", 1), ("e", 60)], 4)
@example([("\u1100", 1), ("\u1161", 3), ("\u11a8", 40), ("가", 30)], 6)
def test_the_windows_give_the_ids_of_the_whole(tok: Tokenizer, runs: list[tuple[str, int]], size: int) -> None:
    text = "".join(unit * count for unit, count in runs)
    (whole,) = tok._library.encode_batch([text], add_special_tokens=False)
    made, at = [], 0
    for found in windows(text, tok._encode, size):
        made += [(id_, at + found.start_of(n)) for n, id_ in enumerate(found.ids)]
        at += found.size
    assert at == len(text)
    assert made == [(id_, whole.token_to_chars(n)[0]) for n, id_ in enumerate(whole.ids)]


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("abcdest"), min_size=100, max_size=600), st.integers(8, 60))
def test_words_that_nobody_wrote(tok: Tokenizer, text: str, size: int) -> None:
    whole = tok._library.encode(text, add_special_tokens=False).ids
    assert [id_ for found in windows(text, tok._encode, size) for id_ in found.ids] == whole


def test_what_joins_the_character_before_is_known() -> None:
    """By the rule, of this Python's Unicode: the second half of a canonical decomposition, and the jamos."""
    seconds = set()
    for char in map(chr, range(0x110000)):
        halves = unicodedata.decomposition(char).split()
        if len(halves) == 2 and not halves[0].startswith("<"):
            seconds.add(chr(int(halves[1], 16)))
    seconds |= {unicodedata.normalize("NFD", char)[-1] for char in ("가", "각")}
    assert all(unicodedata.category(char)[0] == "M" or _JOINS.match(char) for char in seconds)


@pytest.mark.parametrize("unit, before", [
    ("!", ""), ("a", "user\n"), ("\u00e9", ""), ("e\u0301", ""), (" ", "user\n"), ("。", ""), ("字", ""), ("🤖", ""),
    ("aа", ""), ("१", ""), ("ก", ""), ("-=", ""), (" \t", "\n"),
])  # fmt: skip
def test_the_work_grows_with_the_length(
    tok: Tokenizer, monkeypatch: pytest.MonkeyPatch, unit: str, before: str
) -> None:
    seen: list[int] = []
    encode = tok._encode
    monkeypatch.setattr(tok, "_encode", lambda part: seen.append(len(part)) or encode(part))
    monkeypatch.setattr(module, "PART", 1 << 10)
    text = before + unit * (60_000 // len(unit))
    ids = tok.encode(text)
    assert max(seen) <= 1 << 12 and sum(seen) < 1.5 * len(text)
    assert ids == encode(text)[0]


def test_a_run_that_has_no_place_at_all_ends_where_nothing_fits(
    tok: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    encode = tok._encode
    monkeypatch.setattr(tok, "_encode", lambda part: seen.append(len(part)) or encode(part))
    for unit in ("\u0301", " \n"):
        seen.clear()
        with pytest.raises(ContextLengthExceeded, match="at least"):
            tok.encode(unit * 1_000_000, context=5000)
        assert sum(seen) < 300_000


def test_it_is_left_once_nobody_waits(tok: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, seen = threading.Event(), []
    encode = tok._library.encode_batch

    def counted(*args: object, **options: object) -> object:
        seen.append(1)
        if len(seen) == 3:
            gone.set()
        return encode(*args, **options)

    class Library:
        encode_batch = staticmethod(counted)

    monkeypatch.setitem(tok.__dict__, "_library", Library())
    token = ABANDONED.set(gone)
    try:
        for text in ("!" * 1_000_000, "word " * 200_000):
            seen.clear()
            gone.clear()
            with pytest.raises(Abandoned):
                tok.encode(text)
            assert len(seen) == 3
    finally:
        ABANDONED.reset(token)
