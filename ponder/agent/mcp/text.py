"""Texts and names that come from a server: hidden characters out, names made legal.

A description is read by the model as instructions. Characters that a person does not see can carry instructions which
only the model reads: bidirectional controls, zero-width characters, the tag block U+E0000 (invisible ASCII), variation
selectors in a row. They are taken out, and the user is told.
"""

import hashlib
import re
import unicodedata
from typing import Any

# Letters that print nothing: Hangul fillers and the blank Braille pattern.
BLANK = "\u115f\u1160\u3164\uffa0\u2800"
SELECTORS = re.compile("[\ufe00-\ufe0e\U000e0100-\U000e01ef]|(?<=[\ufe00-\ufe0f])\ufe0f")
NAME_LENGTH = 64  # of a tool, in the OpenAI dialect
PROSE = ("description", "title", "$comment")  # keys of a schema whose values are for reading


def clean(text: str) -> tuple[str, int]:
    """The text without what does not print (newline and tab stay), and how many characters that were."""
    kept = "".join(c for c in SELECTORS.sub("", text) if not _hidden(c))
    return kept, len(text) - len(kept)


def _hidden(char: str) -> bool:
    return (unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") and char not in "\n\t") or char in BLANK


def clean_schema(value: Any) -> tuple[Any, int]:
    """A schema with its prose cleaned. In names, enums and defaults hidden characters only count: the server compares
    those, a changed one would not be its own any more."""
    if isinstance(value, str):
        return value, clean(value)[1]
    if isinstance(value, list):
        items = [clean_schema(item) for item in value]
        return [item for item, _ in items], sum(n for _, n in items)
    if isinstance(value, dict):
        out, hidden = {}, 0
        for key, item in value.items():
            prose = key in PROSE and isinstance(item, str)
            out[key], n = clean(item) if prose else clean_schema(item)
            hidden += n + clean(key)[1]
        return out, hidden
    return value, 0


def mended_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema as an object with properties: some servers leave out what is empty. All else stays, $defs too."""
    return {**schema, "type": "object", "properties": schema.get("properties") or {}}


def legal_name(server: str, tool: str, taken: set[str]) -> str:
    """`server-tool` of letters, digits, _ and -, 64 characters at most, and not one that is taken."""
    whole = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}-{tool}")
    if len(whole) > NAME_LENGTH:
        mark = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()[:8]
        whole = f"{whole[: NAME_LENGTH - 9]}_{mark}"
    name, n = whole, 2
    while name in taken:
        name = f"{whole[: NAME_LENGTH - 4]}_{n}"
        n += 1
    return name


def shortened(text: str, limit: int) -> str:
    """Head and tail of a text that is too long, and how much was left out between them."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[... {left_out:,} of {len(text):,} characters left out ...]\n{text[-tail:]}"
