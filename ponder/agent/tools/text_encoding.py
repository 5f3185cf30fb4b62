"""The text of a file of unknown encoding: what people have is not always UTF-8.

A mark at the beginning, a declaration of HTML, UTF-8 itself are sure; beyond them it is guessed by charset-normalizer
from what comes out as words of a language (GBK, Big5, Shift-JIS, EUC-KR, CP1251, Latin-1 and their kin).
"""

import codecs
import re

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
DECLARED = re.compile(rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?([A-Za-z0-9_.:-]{1,40})""", re.I)
FOREIGN = re.compile(rb"[\x80-\xff]")
SAMPLE = 1 << 16  # bytes that are guessed from
LIKELY = ["gb18030", "big5", "cp932", "euc_jp", "cp949", "cp874", "koi8_r", *(f"cp125{n}" for n in range(9))]


def decoded(data: bytes) -> str | None:
    """None: it is no text, or nobody can tell in which encoding."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data:
        return _utf16(data)
    if (found := DECLARED.search(data[:2048])) and (text := _strictly(data, found[1].decode())) is not None:
        return text
    if (text := _strictly(data, "utf-8")) is not None:
        return text
    return _damaged_utf8(data) or _guessed(data)


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return str(codecs.decode(data, encoding))
    except (UnicodeError, LookupError):
        return None


def _utf16(data: bytes) -> str | None:
    """Without a mark: every other byte of what is written in ASCII, also within another script, is zero."""
    even, odd = data[:SAMPLE:2].count(0), data[1:SAMPLE:2].count(0)
    half = min(len(data), SAMPLE) // 2
    if not len(data) % 2 and max(even, odd) > half // 20 and min(even, odd) * 20 < max(even, odd):
        return _strictly(data, "utf-16-le" if odd > even else "utf-16-be")
    return None


def _damaged_utf8(data: bytes) -> str | None:
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    foreign = len(text) - damaged - len(text.encode("ascii", "ignore"))
    return text if foreign > 10 * damaged else None


def _guessed(data: bytes) -> str | None:
    from charset_normalizer import from_bytes  # most texts are UTF-8

    first = FOREIGN.search(data)
    begin = max(0, first.start() - 2000) if first else 0
    sample = data[begin : begin + SAMPLE]
    if begin + SAMPLE < len(data):  # a cut may lie within a character, but not at the end of a line
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    matches = list(from_bytes(sample, cp_isolation=LIKELY))
    if not matches:
        return None
    best = [m.encoding for m in matches if (m.chaos, m.coherence) == (matches[0].chaos, matches[0].coherence)]
    return data.decode("cp1252" if "cp1252" in best else best[0], "replace")
