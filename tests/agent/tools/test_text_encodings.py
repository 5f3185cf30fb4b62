"""Documents as people have them: old encodings, UTF-16, decomposed and full-width text, Korean with its particles."""

import unicodedata
from pathlib import Path

import pytest

from ponder.agent.tools.bm25 import words
from ponder.agent.tools.doc_search import DocSearch
from ponder.agent.tools.text_encoding import decoded
from ponder.core.errors import UserError

TEXTS = {
    "gbk": ("本报告介绍了公司在二零二六年的经营情况。全年营业收入增长了百分之十二，利润达到三亿元。", "营业收入"),
    "big5": ("本報告介紹了公司在二零二六年的經營情況。全年營業收入增長了百分之十二，利潤達到三億元。", "營業收入"),
    "shift_jis": ("この報告書は、会社の経営状況を説明しています。年間の売上高は十二パーセント増加しました。", "売上高"),
    "euc_kr": ("이 보고서는 회사의 경영 상황을 설명합니다. 연간 매출은 십이 퍼센트 증가했습니다.", "매출"),
    "cp1251": ("В этом отчёте описывается работа компании. Выручка выросла на двенадцать процентов.", "компании"),
    "latin-1": ("Der Bericht beschreibt die Lage der Gesellschaft. Der Umsatz stieg um zwölf Prozent, Größe.", "zwölf"),
    "cp1250": ("Raport opisuje sytuację spółki w roku dwa tysiące. Przychody wzrosły o dwanaście procent.", "spółki"),
    "utf-16-le": ("Ein Bericht über zwölf Größen, and some words in English.", "Größen"),
    "utf-16-be": ("Ein Bericht über zwölf Größen, and some words in English.", "Größen"),
    "utf-16": ("이 보고서는 회사의 경영 상황을 설명합니다.", "보고서"),
    "utf-32": ("Ein Bericht über zwölf Größen.", "Größen"),
    "utf-8-sig": ("本报告介绍了公司。", "报告"),
}


@pytest.mark.parametrize("encoding", TEXTS)
@pytest.mark.parametrize("times", [1, 3000])
def test_a_document_is_read_and_found(encoding: str, times: int, tmp_path: Path) -> None:
    text, word = TEXTS[encoding]
    (tmp_path / "report.txt").write_bytes(((text + "\n") * times).encode(encoding))
    (tmp_path / "other.txt").write_text("Nothing of this is in here.")
    assert decoded((tmp_path / "report.txt").read_bytes()) == (text + "\n") * times
    assert word in DocSearch(files=[str(tmp_path)]).search(word, tmp_path / "workspace").text


def test_one_letter_far_behind_is_read_too() -> None:
    long = "Plain words of a long report.\n" * 5000
    assert decoded((long + "café, naïve, Größe und mehr\n").encode("latin-1")) == long + "café, naïve, Größe und mehr\n"


def test_declared_and_damaged_texts() -> None:
    page = '<html><head><meta charset="koi8-r"></head>Отчёт</html>'
    assert decoded(page.encode("koi8-r")) == page
    assert decoded('<meta charset="nonsense">Größe'.encode()) == '<meta charset="nonsense">Größe'
    assert decoded("本报告介绍了公司的经营情况".encode()[:-1]) == "本报告介绍了公司的经营情\ufffd"


@pytest.mark.parametrize("data", [b"\x7fELF\x02\x01\x01" + bytes(64) + b"\xff" * 9, bytes(range(256)) * 4])
def test_what_is_no_text_is_said(data: bytes, tmp_path: Path) -> None:
    assert decoded(data) is None
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UserError, match="not a text"):
        DocSearch(files=[str(tmp_path / "a.txt")]).search("a", tmp_path / "workspace")


def test_forms_of_one_word_are_one_word() -> None:
    assert words("Ｐｏｎｄｅｒ") == ["ponder"] and words("ﾊﾟｽﾀ") == words("パスタ")
    for text in ("Größe", "한국어", "パスタ"):
        assert words(unicodedata.normalize("NFD", text)) == words(text)
    for written in ("학교에서", "학교는", "학교를", "고등학교로"):
        assert set(words("학교")) <= set(words(written))
    assert not set(words("학교")) & set(words("교실"))
