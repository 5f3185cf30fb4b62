"""Language packs of Firefox and Thunderbird: the messages of their .ftl and .properties files."""

import re
from collections.abc import Iterator
from pathlib import Path

from ponder.data.packed import zipped
from ponder.data.read.messages import pages
from ponder.data.read.plain import decoded
from ponder.data.read.reading import Reading, Texts

BRANDS = {"brand-short-name": "Firefox", "brand-full-name": "Firefox", "brand-product-name": "Firefox",
          "brand-shorter-name": "Firefox", "vendor-short-name": "Mozilla"}  # fmt: skip
_MESSAGE = re.compile(r"^(?:-?[A-Za-z][\w-]*|\s+\.[A-Za-z][\w-]*)\s*=(.*)")
_VARIANT = re.compile(r"^\s*(\*?)\[[^\]]*\](.*)")
_TERM = re.compile(r"\{\s*-([\w-]+)\s*(?:\([^{}]*\))?\s*\}")
_FILLED = re.compile(r"\{[^{}]*\}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def language_pack(path: Path, how: Reading) -> Texts:
    with zipped(path) as pack:
        texts = [text for name in sorted(pack.names) for text in _messages(name, pack.read(name))]
    yield from pages(texts)


def _messages(name: str, raw: bytes) -> Iterator[str]:
    if name.endswith(".ftl"):
        yield from fluent(decoded(raw))
    elif name.endswith(".properties"):
        yield from properties(decoded(raw))


def fluent(text: str) -> Iterator[str]:
    """Values of messages and their attributes; of a choice (one, few, other) the variant that holds otherwise."""
    value: list[str] = []
    wanted = True  # inside a variant that is read
    for line in text.splitlines():
        if found := _MESSAGE.match(line):
            yield from _said(value)
            value, wanted = [found[1]], True
        elif variant := _VARIANT.match(line):
            wanted = bool(variant[1])
            value += [variant[2]] * wanted
        elif not line.strip() or line.startswith("#"):
            continue
        elif line.strip() == "}":
            wanted = True
        elif line.startswith((" ", "\t")) and wanted:
            value.append(line)
    yield from _said(value)


def _said(value: list[str]) -> Iterator[str]:
    text = " ".join(line.strip() for line in value)
    text = _TERM.sub(lambda term: BRANDS.get(term[1], ""), text)
    text = _FILLED.sub("", text).partition("->")[2] if "->" in text else _FILLED.sub("", text)
    if text.strip(" {}"):
        yield " ".join(text.replace("}", "").split())


def properties(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", "").splitlines():
        _, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", "!")):
            yield _ESCAPE.sub(lambda point: chr(int(point[1], 16)), value).replace("\\n", "\n").strip()
