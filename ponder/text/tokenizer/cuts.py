"""Where a long text may be cut so that its parts, encoded one by one, give the ids of the whole.

The split of Qwen's tokenizer (`vocabulary.SPLIT`) looks ahead only at the end of blanks, never back, and NFC joins a
character only to what stands before it. So a place is sure where no piece of the split can reach across it and no
character after it joins: before a blank that follows something else, between a letter and a sign or the end of a line,
and after a digit. A run of one kind (a million `!`) has no such place and stays whole.
"""

import re
from collections.abc import Iterator

_SURE = re.compile(
    r"(?<=\S)(?= )"
    r"|(?<=[^\W_])(?=[!-@\[-`{-~\n、。「」！（），：；？])"
    r"|(?<=[0-9])(?=[\x20-\x7e\n])"
)
LOOK = 1 << 16  # characters searched at once: the search holds the interpreter's lock


def parts(text: str, size: int) -> Iterator[str]:
    """The text in parts of about `size` characters, longer where there is no sure place."""
    start = 0
    while len(text) - start > size:
        at = _place(text, start + size)
        yield text[start:at]
        start = at
    yield text[start:]


def _place(text: str, at: int) -> int:
    """The first sure place at or after `at`; the end of the text where there is none."""
    while at < len(text):
        if found := _SURE.search(text, at, at + LOOK):
            return found.start()
        at += LOOK
    return len(text)
