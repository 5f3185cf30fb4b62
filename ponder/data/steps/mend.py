"""Text as it was meant: NFC, one kind of line end, no control characters, no blanks at the ends of lines."""

import re
import unicodedata

_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_TRAILING = re.compile(r"[ \t\u00a0]+$", re.MULTILINE)
_EMPTY = re.compile(r"\n{4,}")
# UTF-8 read as Latin-1 or CP1252, twice a letter or more: Ã¤, â€™
_HIGH = "".join(bytes([n]).decode("cp1252", "ignore") for n in range(0x80, 0xC0))
_TWICE = re.compile(f"[\u00c2-\u00f4][\u0080-\u009f{re.escape(_HIGH)}]")


def mend(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n\n")
    text = unicodedata.normalize("NFC", _undone(_CONTROL.sub("", text)))
    return _EMPTY.sub("\n\n\n", _TRAILING.sub("", text)).strip("\n")


def _undone(text: str) -> str:
    """UTF-8 that somebody read as CP1252 is read again; a text in which that does not work out stays as it is."""
    if len(_TWICE.findall(text)) < 2:
        return text
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text
