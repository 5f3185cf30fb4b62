"""Endless repetition: the same short run of ids over and over (RL-2), told apart from honest repetition.

A loop is a period of at most 64 ids repeated at least 8 times, and long enough that honest text does not look so:
256 ids in a row when the period contains words ("Wait, let me check. "), 1024 when it is only digits, punctuation and
blanks, because tables, grids of zeros, rulers and ASCII art do repeat. Ids are counted in lots, as many as cannot
complete a loop together, which costs a fraction of a microsecond each.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

MAX_PERIOD = 64
MIN_REPEATS = 8
MIN_IDS_WORDS = 256
MIN_IDS_SIGNS = 1024

_WORD = re.compile(r"[^\W\d_]{3}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_PERIODS: NDArray[np.int64] = np.arange(1, MAX_PERIOD + 1)
# a run counts ids equal to the one a period before them: r repeats of p ids are a run of (r - 1) * p
_LEAST_RUN: NDArray[np.int64] = np.maximum(_PERIODS * MIN_REPEATS, MIN_IDS_WORDS) - _PERIODS


class LoopGuard:
    """Feed every sampled id of one phase; True once the text loops. `decode` turns ids into text, asked rarely."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._past: NDArray[np.int64] = np.full(MAX_PERIOD, -1)  # what has been counted, newest last
        self._runs: NDArray[np.int64] = np.zeros(MAX_PERIOD, np.int64)  # [period - 1]
        self._new: list[int] = []  # not counted yet
        self._sure = int(_LEAST_RUN.min())  # as many ids more cannot complete a run

    def feed(self, id_: int) -> bool:
        self._new.append(id_)
        if len(self._new) < self._sure:
            return False
        self._count()
        return bool((self._runs >= _LEAST_RUN).any()) and self._is_loop()

    def _count(self) -> None:
        """Lengthen the runs by the new ids, all at once."""
        count = len(self._new)
        ids = np.concatenate([self._past, np.array(self._new)])
        before = sliding_window_view(ids, MAX_PERIOD)[:count, ::-1]  # [new, period - 1] the id a period before each
        unequal = before != ids[MAX_PERIOD:, None]
        tail = np.argmax(unequal[::-1], axis=0)  # ids since the last that differed
        self._runs = np.where(unequal.any(axis=0), tail, self._runs + count)
        self._past, self._new = ids[-MAX_PERIOD:], []
        self._sure = max(1, int((_LEAST_RUN - self._runs).min()))

    def _is_loop(self) -> bool:
        period = int(np.argmax(self._runs >= _LEAST_RUN)) + 1  # the shortest; its multiples fire as well
        length = int(self._runs[period - 1]) + period
        if length >= MIN_IDS_SIGNS:
            return True
        # twice: a word may lie across the seam
        text = self._decode([int(i) for i in self._past[-period:]] * 2)
        return _WORD.search(text) is not None
