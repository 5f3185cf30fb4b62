"""Okapi BM25 (Robertson and Zaragoza, 2009) over short texts of any language."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, repeat

K1, B = 1.5, 0.75
# A word, or one character of a script that does not put spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar).
WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+")


HANGUL = re.compile("[\uac00-\ud7a3]{3,}")


def words(text: str) -> list[str]:
    """Words, folded and composed, full-width letters as usual ones; characters of scripts without spaces singly and in
    pairs; syllables of Korean words in pairs too, for particles stick to their ends."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    single = WORD.findall(folded)
    near = pairwise(single)
    pairs = [a + b for a, b in near if len(a) == len(b) == 1 and ord(a) > 0xE00 < ord(b)]
    syllables = [a + b for word in single if HANGUL.fullmatch(word) for a, b in pairwise(word)]
    return single + pairs + syllables


class BM25:
    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(words(t)) for t in texts]
        self._lengths = [sum(c.values()) for c in self._counts]
        self._mean = sum(self._lengths) / max(1, len(texts)) or 1.0
        holding = Counter(word for c in self._counts for word in c)
        n = len(texts)
        self._idf = {w: math.log(1 + (n - k + 0.5) / (k + 0.5)) for w, k in holding.items()}

    def scores(self, query: str) -> list[float]:
        """One number for each text, 0 where no word of the query stands."""
        wanted = [w for w in words(query) if w in self._idf]
        return [sum(map(self._weight, wanted, repeat(n))) for n in range(len(self._counts))]

    def _weight(self, word: str, n: int) -> float:
        """Of a word in text n."""
        count = self._counts[n][word]
        return self._idf[word] * count * (K1 + 1) / (count + K1 * (1 - B + B * self._lengths[n] / self._mean))
