"""Messages of translated software: JSON tables (MediaWiki and others) and gettext's .mo files.

A message is a sentence or two, so the messages of a file, in its order, make documents of about PAGE characters. What a
program fills in later is markup, not language: it is taken out, and a message that was mostly that is left out.
"""

import gettext
import json
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ponder.data.document import Unreadable
from ponder.data.read.plain import bounded, decoded
from ponder.data.read.reading import Reading, Texts

PAGE = 2000
SHORTEST = 10
"""Characters of a message: shorter ones are labels of buttons. One of Chinese or Japanese counts as two and a half."""
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{\d*[^{} ]*\}")
_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]")
_FILLED = re.compile(
    r"%(?:\d{1,4}\$)?[-+ 0#]{0,5}\d{0,4}(?:\.\d{1,4})?[a-zA-Z]\b|\$\d+|%%|<[^<>]*>|\[https?://\S+ ?|&[a-z]+;|'{2,}"
)
_BLANKS = re.compile(r"[ \t]+")


def json_messages(path: Path, how: Reading) -> Texts:
    try:
        table = json.loads(decoded(bounded(path)))
    except (json.JSONDecodeError, RecursionError) as e:
        raise Unreadable(f"is no JSON: {e}") from e
    if not isinstance(table, dict):
        raise Unreadable("is no table of messages")
    return pages(_strings(table))


def gettext_catalog(path: Path, how: Reading) -> Texts:
    try:
        with path.open("rb") as file:
            catalog: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    except (OSError, ValueError, LookupError, struct.error) as e:
        raise Unreadable(f"is no gettext catalogue: {e}") from e
    return pages(text for key, text in catalog.items() if key and text != key)  # the empty key is the header


def _strings(table: dict[str, Any]) -> Iterator[str]:
    """In order, tables inside tables too. Names beginning with @ are about the file."""
    for key, value in table.items():
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict) and not key.startswith("@"):
            yield from _strings(value)


def pages(messages: Iterable[str]) -> Iterator[str]:
    page: list[str] = []
    size = 0
    for text in dict.fromkeys(filter(None, map(clean, messages))):
        page.append(text)
        size += len(text)
        if size >= PAGE:
            yield "\n".join(page)
            page, size = [], 0
    if page:
        yield "\n".join(page)


def _form(template: re.Match[str]) -> str:
    """One of the forms that MediaWiki chooses from: the usual one of a plural, the first of genders; else nothing."""
    kind, *forms = template[0].strip("{}").split("|")
    forms = [form for form in forms if not re.match(r"\s*\w+\s*=", form)]  # 1=just once
    name = kind.partition(":")[0].strip().upper()
    if not forms or name not in ("PLURAL", "GENDER", "GRAMMAR"):
        return ""
    return forms[0] if name == "GENDER" else forms[-1]


def clean(message: str) -> str:
    """Without markup; empty if too little is left."""
    text = message
    while (inner := _TEMPLATE.sub(_form, text)) != text:  # templates inside templates
        text = inner
    marked = _LINK.sub(r"\1", text)
    text = _BLANKS.sub(" ", _FILLED.sub("", marked)).strip()
    size = len(text) + 1.5 * len(_WIDE.findall(text))
    return text if size >= SHORTEST and 2 * len(text) >= len(marked) else ""
