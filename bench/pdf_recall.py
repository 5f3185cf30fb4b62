"""How much of a book the PDF reader finds: the words of its HTML edition that stand in the text of its PDF edition,
and in which order.

    python bench/pdf_recall.py --packages runs/data/packages

Books are Debian packages with both editions, fetched as `ponder data` does. Recall counts every word as often as it
stands there; Japanese and Chinese, which have no blanks, are counted in pairs of characters. Order is the share of
passages (eight words that stand once in either edition) that come in the order of the HTML edition.
"""

import argparse
import bisect
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import lxml.html

from ponder.data.fetch.debian import unpacked
from ponder.data.read.html import page
from ponder.data.read.pdf.document import pdf
from ponder.data.read.reading import Reading

BOOKS = (
    ("English", "debian-reference-en", "usr/share/debian-reference", "en"),
    ("German", "debian-reference-de", "usr/share/debian-reference", "de"),
    ("French", "debian-reference-fr", "usr/share/debian-reference", "fr"),
    ("Spanish", "debian-reference-es", "usr/share/debian-reference", "es"),
    ("Italian", "debian-reference-it", "usr/share/debian-reference", "it"),
    ("Portuguese", "debian-reference-pt", "usr/share/debian-reference", "pt"),
    ("Japanese", "debian-reference-ja", "usr/share/debian-reference", "ja"),
    ("Chinese", "debian-reference-zh-cn", "usr/share/debian-reference", "zh-cn"),
)
BY_CHARACTERS = ("Japanese", "Chinese")  # no blanks between words
PASSAGE = 8
UTF8 = lxml.html.HTMLParser(encoding="utf-8")
_WORD = re.compile(r"[^\W_]+")
_LINKS = " navheader navfooter toc list-of-tables "
_CHAPTER = ("index", "pr", "ch", "ap")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=Path("runs/data/packages"))
    parser.add_argument("--only", help="a language")
    args = parser.parse_args()
    print("| book | language | words | recall | order | pages a CPU-second |\n|---|---|---|---|---|---|")
    for language, package, folder, code in BOOKS:
        if args.only in (None, language):
            root, version = unpacked(package, args.packages)
            wanted = units(html_text(root / folder, code), language)
            began = time.process_time()
            text, pages = pdf_text(next((root / folder).glob(f"*.{code}.pdf")))
            seconds = time.process_time() - began
            found = units(text, language)
            print(
                f"| {package} {version} | {language} | {len(wanted):,} | {recall(wanted, found):.1%} | "
                f"{order(wanted, found):.1%} | {pages / seconds:.0f} |",
                flush=True,
            )


def html_text(folder: Path, code: str) -> str:
    files = [path for path in folder.glob(f"*.{code}.html") if path.name.startswith(_CHAPTER)]
    files.sort(key=lambda path: (next(n for n, start in enumerate(_CHAPTER) if path.name.startswith(start)), path.name))
    return "\n".join(map(_body, files))


def _body(path: Path) -> str:
    """All text but scripts, links to other pages, and each chapter's list of contents: the PDF has one for the book."""
    body = lxml.html.fromstring(page(path.read_bytes()).encode(), parser=UTF8).find("body")
    assert body is not None
    for element in body.xpath(f".//script | .//style | .//*[contains('{_LINKS}', concat(' ', @class, ' '))]"):
        element.drop_tree()
    return "\n".join(body.itertext())


def pdf_text(path: Path) -> tuple[str, int]:
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        pages = len(document)
    return "\n".join(text for text in pdf(path, Reading()) if isinstance(text, str)), pages


def units(text: str, language: str) -> list[str]:
    if language in BY_CHARACTERS:
        letters = "".join(text.split())
        return [letters[n : n + 2] for n in range(len(letters) - 1)]
    return [word.casefold() for word in _WORD.findall(text)]


def recall(wanted: Sequence[str], found: Sequence[str]) -> float:
    both = Counter(wanted) & Counter(found)
    return both.total() / len(wanted)


def order(wanted: Sequence[str], found: Sequence[str]) -> float:
    """The longest part of the passages that both have and that stand in the same order, as a share of them."""
    at = _once(found)
    places = [at[passage] for passage in _once(wanted) if passage in at]
    tops: list[int] = []
    for place in places:
        n = bisect.bisect_left(tops, place)
        tops[n : n + 1] = [place]
    return len(tops) / len(places)


def _once(words: Sequence[str]) -> dict[tuple[str, ...], int]:
    passages = [tuple(words[n : n + PASSAGE]) for n in range(len(words) - PASSAGE + 1)]
    counts = Counter(passages)
    return {passage: n for n, passage in enumerate(passages) if counts[passage] == 1}


if __name__ == "__main__":
    main()
