"""Electronic books: a document a chapter, in the order of reading."""

import posixpath
import urllib.parse
from pathlib import Path

from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.packed import Zipped, zipped
from ponder.data.read.html import main_text
from ponder.data.read.reading import Reading, Texts

CONTAINER, LOCKED = "META-INF/container.xml", "META-INF/encryption.xml"


def epub(path: Path, how: Reading) -> Texts:
    with zipped(path) as book:
        for chapter in chapters(book):
            try:
                text = main_text(book.read(chapter), all_of_it=True)
            except Unreadable as e:
                yield Left(UNREADABLE, f"{chapter}: {e}")
            else:
                yield text or Left("no main text", chapter)


def chapters(book: Zipped) -> list[str]:
    """Their names in the archive, in the order of reading. Raises Unreadable for a book that is locked or damaged."""
    root = book.tree(CONTAINER).find(".//{*}rootfile")
    place = "" if root is None else root.get("full-path", "")
    package = book.tree(place)
    files = {item.get("id"): item.get("href", "") for item in package.iterfind(".//{*}manifest/{*}item")}
    order = [files.get(item.get("idref"), "") for item in package.iterfind(".//{*}spine/{*}itemref")]
    if not any(order):
        raise Unreadable("names no chapters")
    folder = posixpath.dirname(place)
    names = [posixpath.normpath(posixpath.join(folder, urllib.parse.unquote(href))) for href in order if href]
    if not _locked(book).isdisjoint(names):
        raise Unreadable("is encrypted")
    return names


def _locked(book: Zipped) -> set[str]:
    if LOCKED not in book.names:
        return set()
    return {urllib.parse.unquote(part.get("URI", "")) for part in book.tree(LOCKED).iterfind(".//{*}CipherReference")}
