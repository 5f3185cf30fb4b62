"""Stop strings: chunk independence against a slow reference, hold-back, linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.engine.decoding.stop import StopMatcher

stops_of_two = st.lists(st.text("ab.", min_size=1, max_size=4), min_size=1, max_size=3)


def reference(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The stop that is complete first (the longest of several), found by trying every prefix of the text."""
    for end in range(1, len(text) + 1):
        hits = [s for s in stops if text[:end].endswith(s)]
        if hits:
            best = max(hits, key=len)
            return text[: end - len(best)], best
    return text, None


@given(st.text("ab.", max_size=30), stops_of_two, st.lists(st.integers(1, 5), max_size=30))
def test_any_chunking_equals_the_reference(text: str, stops: list[str], sizes: list[int]) -> None:
    matcher, out, at = StopMatcher(stops), "", 0
    for size in [*sizes, len(text) + 1]:
        out += matcher.feed(text[at : at + size])
        at += size
    assert (out + ("" if matcher.matched else matcher.flush()), matcher.matched) == reference(text, stops)


@given(st.text("ab.", max_size=30), stops_of_two)
def test_holds_back_no_more_than_it_must(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    out = matcher.feed(text)
    if matcher.matched is None:
        held = text[len(out) :]
        longest = max(n for n in range(len(text) + 1) if n == 0 or any(s.startswith(text[-n:]) for s in stops))
        assert len(held) == longest


def test_text_before_the_stop_is_delivered_and_nothing_after() -> None:
    matcher = StopMatcher(["\n\nQ:"])
    assert [matcher.feed(t) for t in ("An", "swer\n", "\nQ", ": more", " and more")] == ["An", "swer", "", "", ""]
    assert matcher.matched == "\n\nQ:"


@pytest.mark.flaky(reruns=2)  # judges time
def test_hostile_stop_is_linear() -> None:
    matcher = StopMatcher(["a" * 50_000 + "b"])
    start = time.thread_time()
    for _ in range(1000):
        matcher.feed("a" * 100)
    assert time.thread_time() - start < 2
