"""Each kind of file, and files that are not what they seem."""

import gettext
import json
import struct
from pathlib import Path

import pytest

from ponder.data.document import Unreadable
from ponder.data.languages import languages, of_code, of_locale
from ponder.data.read.messages import PAGE, clean
from ponder.data.read.table import texts_of


def catalog(pairs: dict[str, str]) -> bytes:
    """A .mo file: little-endian, its strings in order of their keys."""
    pairs = {"": "Content-Type: text/plain; charset=UTF-8\n", **pairs}
    keys = sorted(pairs)
    blob, table, at = b"", [], 28 + 16 * len(keys)
    for text in [*keys, *(pairs[k] for k in keys)]:
        raw = text.encode()
        table += [len(raw), at + len(blob)]
        blob += raw + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, 0)
    return head + struct.pack(f"<{len(table)}I", *table) + blob


def read(path: Path, raw: bytes) -> list[str]:
    path.write_bytes(raw)
    return list(texts_of(path, "auto"))


def test_plain_text(tmp_path: Path) -> None:
    for raw in ("Grüße\n".encode(), "\ufeffGrüße\n".encode(), "Grüße\n".encode("utf-16")):
        assert read(tmp_path / "a.md", raw) == ["Grüße\n"]


def test_json_lines(tmp_path: Path) -> None:
    assert read(tmp_path / "a.jsonl", b'{"text": "one", "more": 1}\n\n{"text": "two"}') == ["one", "two"]


def test_messages(tmp_path: Path) -> None:
    table = {
        "@metadata": {"authors": ["Somebody with a long name"]},
        "a": "The page [[Help:Move|could not be moved]], because {{GENDER:$1|he|she}} is away.",
        "b": "OK",
        "c": {"inner": "It was written %s, and %1$d times read by others."},
        "d": "{{PLURAL:$1|{{GENDER:$2|one}}|other}} x",
    }
    assert read(tmp_path / "de.json", json.dumps(table).encode()) == [
        "The page could not be moved, because he is away.\nIt was written , and times read by others."
    ]


def test_messages_of_a_page_or_more(tmp_path: Path) -> None:
    table = {str(n): f"This is message number {n}, long enough to stay." for n in range(200)}
    pages = read(tmp_path / "en.json", json.dumps(table).encode())
    assert len(pages) > 2 and all(PAGE <= len(p) < PAGE + 200 for p in pages[:-1])
    assert "\n".join(pages).split("\n") == list(table.values())


def test_gettext(tmp_path: Path) -> None:
    raw = catalog({"Save the file as ...": "Die Datei speichern unter ...", "Untranslated text": "Untranslated text"})
    assert read(tmp_path / "words.mo", raw) == ["Die Datei speichern unter ..."]
    assert gettext.GNUTranslations((tmp_path / "words.mo").open("rb")).gettext("Save the file as ...").startswith("Die")


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.txt", b"\xff\xfe\xfa"),
        ("a.txt", b"ab\0cd"),
        ("a.txt", b"caf\xe9"),
        ("a.jsonl", b"{"),
        ("a.jsonl", b'{"txt": 1}'),
        ("a.jsonl", b'{"text": "\xff"}'),
        ("a.json", b"[1]"),
        ("a.json", b"["),
        ("a.json", b"[" * 100_000),
        ("a.mo", b"nothing"),
        ("a.mo", b""),
        ("a.mo", catalog({"a": "b"})[:40]),
    ],
)
def test_what_a_file_is_not(name: str, raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        read(tmp_path / name, raw)


def test_a_message_of_markup_is_left_out() -> None:
    assert clean("{{int:a|{{int:b|$1}}}} and so") == ""
    assert clean("{{PLURAL:$1|One page was|0=None was|$1 pages were}} moved by {{SITENAME}}") == "pages were moved by"
    assert clean("<b>Bold</b> words &nbsp; remain here") == "Bold words remain here"
    assert [clean(text) for text in ("Save page", "儲存呢一版", "儲存版")] == ["", "儲存呢一版", ""]


def test_languages() -> None:
    assert len(languages()) == 119
    assert [of_locale(x) for x in ("pt_BR", "sv", "sw", "arz_Arab", "zh-hans", "qqq", "tlh")][1:] == [
        "swe_Latn", "swh_Latn", "arz_Arab", "zho_Hans", None, None,
    ]  # fmt: skip
    assert of_locale("pt_BR") == "por_Latn"
    assert [of_code(x) for x in ("ara", "ar", "deu", "zho", "cmn", "ZLM", "pt_BR", "kin", "")] == [
        "arb_Arab", "arb_Arab", "deu_Latn", "zho_Hans", "zho_Hans", "zsm_Latn", "por_Latn", None, None
    ]  # fmt: skip
    assert [of_locale(x) for x in ("de-AT", "ar_MA", "sr-el", "zh-mo", "uz-cyrl", "nl-informal", "xx-de")] == [
        "deu_Latn", "arb_Arab", None, None, None, None, None,
    ]  # fmt: skip
