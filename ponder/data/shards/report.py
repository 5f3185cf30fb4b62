"""How tokenizers take each language apart: bytes an id, and ids a word, side by side.

A few hundred kilobytes of each language are enough for two digits, so that is what is looked at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ponder.data.document import Document
from ponder.data.languages import languages
from ponder.text.tokenizer.tokenizer import Tokenizer

LOOK = 200_000  # bytes of a language
SPACED = 25  # bytes of a word, on average: a language with longer ones writes without blanks


@dataclass
class Seen:
    documents: int = 0
    bytes: int = 0
    looked: int = 0
    """Bytes that were made ids of."""
    words: int = 0
    ids: dict[str, int] = field(default_factory=dict)
    """Of each tokenizer."""


def compare(documents: Iterable[Document], tokenizers: Mapping[str, Tokenizer]) -> dict[str, Seen]:
    """By language."""
    found: dict[str, Seen] = {}
    for document in documents:
        seen, size = found.setdefault(document.language, Seen()), len(document.text.encode())
        seen.documents += 1
        seen.bytes += size
        if seen.looked < LOOK:
            text = document.text[:LOOK]
            seen.looked += len(text.encode())
            seen.words += len(text.split())
            for name, tokenizer in tokenizers.items():
                seen.ids[name] = seen.ids.get(name, 0) + len(tokenizer.encode(text))
    return found


def report(documents: Iterable[Document], tokenizers: Mapping[str, Tokenizer]) -> str:
    """As a page of Markdown, the largest languages first."""
    sizes = ", ".join(f"{name} has {tokenizer.vocab_size:,} ids" for name, tokenizer in tokenizers.items())
    names = list(tokenizers)
    head = [
        "language",
        "documents",
        "bytes",
        *(f"bytes an id, {n}" for n in names),
        *(f"ids a word, {n}" for n in names),
    ]
    rows = [head, ["---"] * len(head)]
    for code, seen in sorted(compare(documents, tokenizers).items(), key=lambda item: (-item[1].bytes, item[0])):
        name = f"{languages()[code].name} ({code})" if code in languages() else code or "not told"
        spaced = seen.looked <= SPACED * seen.words
        rows.append([
            name, f"{seen.documents:,}", f"{seen.bytes:,}", *(_ratio(seen.looked, seen.ids[n]) for n in names),
            *(_ratio(seen.ids[n], seen.words) if spaced else "no blanks" for n in names),
        ])  # fmt: skip
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"# Ids\n\n{sizes}. Looked at: {LOOK // 1000} KB of each language.\n\n{table}\n"


def _ratio(a: int, b: int) -> str:
    return f"{a / b:.2f}" if b else ""
