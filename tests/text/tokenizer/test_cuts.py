"""A long text is encoded in parts: the same ids, other threads go on meanwhile, and it ends where nothing fits."""

import sys
import threading

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentences import LANGUAGES
from tokenizers import Regex, pre_tokenizers

from ponder.core.errors import ContextLengthExceeded
from ponder.text.tokenizer import tokenizer as module
from ponder.text.tokenizer.cuts import LOOK, parts
from ponder.text.tokenizer.tokenizer import Tokenizer

# what the split treats differently, and what NFC joins: letters, marks, digits, signs, blanks, ends of lines, Hangul
KINDS = "aZs'\u0301\u00e9\u0345\u4e00\u9fa5、。!_~19٣²½ \u00a0\u3000\t\n\r\u1100\u1161\u11a8가ก็नि🤖\u200d\u0130ſ"
TEXTS = st.text(st.sampled_from(KINDS), max_size=60) | st.text(max_size=40)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.integers(1, 8))
@example("don't  'tis 12  \n\n x", 1)
@example("步骤一。\n\n二、 三", 1)
@example("1\u0301 1\r\n a\u0301\u0327b", 1)
def test_the_parts_give_the_ids_of_the_whole(tok: Tokenizer, text: str, size: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    cut = list(parts(text, size))
    assert "".join(cut) == text
    whole = tok._library.encode(text, add_special_tokens=False).ids
    assert [i for part in cut for i in tok._library.encode(part, add_special_tokens=False).ids] == whole


def test_letters_are_letters_for_the_split_too() -> None:
    """Python and the library have Unicode tables of their own."""
    alnum = "".join(c for c in map(chr, range(0x110000)) if c.isalnum())
    assert pre_tokenizers.Split(Regex(r"[\p{L}\p{N}]"), "removed").pre_tokenize_str(alnum) == []


@pytest.mark.parametrize("text", [*(t for t in LANGUAGES if " " in t), "中文，简体。", "ひらがな、", "한국어."])
def test_what_is_written_has_places_to_cut(text: str) -> None:
    assert max(map(len, parts(text * 2000, 100))) < 200


def test_owners_over_many_parts(tok: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = ["one two", " three", 151645, "four five six", " ", "seven 8 9"]
    whole = tok.encode_pieces(pieces)
    monkeypatch.setattr(module, "PART", 3)
    assert tok.encode_pieces(pieces) == whole


@pytest.mark.parametrize("letter", ["a", "word ", "!", "7", "步骤"])
def test_other_threads_run_while_a_long_text_is_encoded(tok: Tokenizer, letter: str) -> None:
    """The library holds the interpreter's lock while it encodes one text, and lets go of it for a batch of them."""
    beats, done = [0], threading.Event()

    def beat() -> None:
        while not done.wait(0.001):
            beats[0] += 1

    interval, other = sys.getswitchinterval(), threading.Thread(target=beat)
    text = letter * (300_000 // len(letter))
    other.start()
    try:
        sys.setswitchinterval(0.001)
        before = beats[0]
        tok.encode(text)
        assert beats[0] - before >= 5
    finally:
        sys.setswitchinterval(interval)
        done.set()
        other.join()


def test_it_ends_where_nothing_fits(tok: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    encode = tok._encode
    monkeypatch.setattr(tok, "_encode", lambda part: seen.append(len(part)) or encode(part))
    with pytest.raises(ContextLengthExceeded, match="at least") as e:
        tok.encode("word " * 1_000_000, context=5000)
    assert 10_000 < e.value.prompt_tokens < 20_000 and e.value.limit == 5000
    assert sum(seen) < 100_000, "the rest was not looked at"
    assert len(tok.encode("word " * 4000, context=5000)) == 4001


def test_a_run_without_a_cut_ends_where_nothing_fits(tok: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    encode = tok._encode
    monkeypatch.setattr(tok, "_encode", lambda part: seen.append(len(part)) or encode(part))
    with pytest.raises(ContextLengthExceeded, match="at least"):
        tok.encode("a" * 3_000_000, context=5000)
    assert sum(seen) < 600_000, "its beginning was enough"
    whole = "a" * 300_000
    assert tok.encode(whole, context=50_000) == tok.encode(whole)


@pytest.mark.parametrize("before", range(LOOK - 12, LOOK + 3))
def test_control_tokens_are_found_wherever_a_look_ends(tok: Tokenizer, before: int) -> None:
    """In a long text they are looked for step by step, and the longest at a place wins."""
    a, end = "a" * before, "b" * LOOK
    ids = [tok.control["<|im_end|>"], tok.control["<think>"]]
    assert tok.split_control(f"{a}<|im_end|><think>{end}<|im_end|>") == [a, *ids, end, ids[0]]
    assert tok.split_control(f"{a}<|im_en{end}") == [f"{a}<|im_en{end}"]
