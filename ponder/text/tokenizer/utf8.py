"""UTF-8 that arrives in pieces, and text that may not be well formed.

A token can end inside a character, so tokens decoded one by one give U+FFFD where there is none (UT-1). The
detokeniser works on bytes: what is not yet a whole character waits, at most 3 bytes.
"""

import codecs


class Utf8Stream:
    """bytes in, text out. The concatenation of all results equals decoding all bytes at once, however they are cut."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """The text that is complete now."""
        return self._decoder.decode(data)

    def flush(self) -> str:
        """Nothing more comes: an incomplete character becomes one U+FFFD. The stream can be used again."""
        return self._decoder.decode(b"", final=True)


def well_formed(text: str) -> str:
    """Text that UTF-8 can carry: surrogate pairs joined, lone surrogates (from "\\ud800" in JSON) become U+FFFD."""
    if text.isascii() or not _has_surrogates(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
