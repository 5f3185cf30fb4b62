"""UTF-8 in pieces: every cut gives the text of the whole (UT-1, UT-2)."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.text.tokenizer.utf8 import Utf8Stream, well_formed

TORTURE = [
    b"", b"a", "é你🤖👨‍👩‍👧‍👦e\u0301".encode(), b"\xff\xfe", b"\xe4\xbd", b"\xf0\x9f\xa4",
    b"\xf0\x9f\xa4\xf0\x9f\xa4\x96",
    b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80\x80\x80", b"\xe4\xbd\xa0\xe4a\xbd\xa0",
    b"\xe0\x80\x80", b"\xf8\x88\x80\x80\x80",
]  # fmt: skip


def streamed(data: bytes, cuts: list[int]) -> str:
    stream = Utf8Stream()
    edges = [0, *sorted(cuts), len(data)]
    out = [stream.feed(data[a:b]) for a, b in pairwise(edges)]
    for text in out:
        text.encode()
    return "".join(out) + stream.flush()


def test_every_cut_of_the_torture_cases() -> None:
    for data in [*TORTURE, b"".join(TORTURE)]:
        whole = data.decode("utf-8", "replace")
        assert streamed(data, list(range(len(data)))) == whole
        assert all(streamed(data, [cut]) == whole for cut in range(len(data)))


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=60), seed=st.integers(0, 1 << 30))
def test_any_bytes_any_cuts(data: bytes, seed: int) -> None:
    r = random.Random(seed)
    cuts = [r.randint(0, len(data)) for _ in range(r.randint(0, 20))]
    assert streamed(data, cuts) == data.decode("utf-8", "replace")


def test_the_tail_waits_at_most_three_bytes_and_is_flushed_once() -> None:
    stream = Utf8Stream()
    assert [stream.feed(bytes([b])) for b in "🤖".encode()] == ["", "", "", "🤖"]
    assert stream.feed("🤖".encode()[:3]) == ""
    assert stream.flush() == "\ufffd" and stream.flush() == ""
    assert stream.feed(b"ok") == "ok"


@given(st.text())
def test_well_formed_leaves_good_text_alone(text: str) -> None:
    assert well_formed(text) == text


def test_well_formed_repairs_surrogates() -> None:
    assert well_formed("\ud83d\ude00\ud83dx\ude00") == "😀\ufffdx\ufffd"
