"""Languages: which one a text is in, chrF, sums and names in many of them."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.data.languages import languages
from ponder.tasks.labelled import judge, labelled
from ponder.tasks.languages.chrf import chrf
from ponder.tasks.languages.identify import language_of
from ponder.tasks.languages.sums import BEYOND
from ponder.tasks.languages.translation import Translation
from ponder.tasks.published.table import RELEASED, released

TEXTS = {
    "en": "The cat is on the mat, and it was there for the whole day.",
    "de": "Die Katze liegt auf der Matte, und sie war den ganzen Tag dort.",
    "fr": "Le chat est sur le tapis et il y est pour toute la journée.",
    "ja": "猫はマットの上にいます。", "zh": "猫在垫子上。", "ko": "고양이는 매트 위에 있다.",
    "ru": "Кот лежит на коврике, и он там весь день, потому что ему хорошо.",
    "uk": "Кіт лежить на килимку, і він там увесь день, тому що йому добре.",
    "hi": "बिल्ली चटाई पर है और वह दिन भर वहाँ थी।", "ar": "القطة على السجادة وهي هناك من الصباح إلى المساء.",
}  # fmt: skip


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_a_sentence(language: str) -> None:
    assert language_of(TEXTS[language]) == language


def test_no_language_where_nothing_says_which() -> None:
    assert language_of("") is None and language_of("123 + 4") is None and language_of("Lomar Vestby") is None


def test_chrf_by_hand() -> None:
    assert chrf("the cat", "the cat") == 1 and chrf("", "the cat") == 0 and chrf("xyz", "the cat") == 0
    # "ab" and "ac": order 1: 1 of 2, order 2: 0 of 1; P = R = 0.25
    assert chrf("ab", "ac") == pytest.approx(0.25)
    # "a" for "ab": only order 1 counts; P = 1, R = 0.5
    assert chrf("a", "ab") == pytest.approx(5 * 0.5 / (4 * 1 + 0.5))
    assert chrf("the  cat", "thecat") == 1


def test_sums_of_a_folder(tmp_path: Path) -> None:
    for language, question in (
        ("swh", "Ana ana 2 na 3. Ngapi?"),
        ("deu", "Ana hat 2 und 3. Wie viele?"),
        ("arz", "Two?"),
    ):
        (tmp_path / language / "symbolic").mkdir(parents=True)
        body = f'question = "{question}"\nanswer = """2+3\n#### 5"""\n'
        (tmp_path / language / "symbolic" / "0001.toml").write_text(body)
    (tmp_path / "deu" / "symbolic" / "0002.toml").write_text('question = "?"\nanswer = "#### 1/2"\n')
    task = RELEASED["gsm_symbolic"].of_folder(tmp_path)  # type: ignore[attr-defined]
    assert list(task.items) == ["deu 0001", "swh 0001"]
    problem = task.problem("swh 0001", 0, "test")
    assert (
        problem.language == "swh" and task.verify(problem, "Jibu: \\boxed{5}").ok and not task.verify(problem, "6").ok
    )
    with pytest.raises(UserError, match="no questions in fra"):
        RELEASED["gsm_symbolic"].of_folder(tmp_path, ("fra",))  # type: ignore[attr-defined]


def test_an_answer_in_the_digits_of_its_language_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text(json.dumps({"language": "hin", "id": "1", "question": "?", "answer": "#### ६४"}) + "\n")
    task = released("gsm_symbolic", str(path))
    problem = task.problem("hin 1", 0, "test")
    assert problem.answer_key == "64"
    assert [task.verify(problem, text).ok for text in ("\\boxed{64}", "\\boxed{६४}", "६५")] == [True, True, False]


def test_sums_are_of_the_languages_that_qwen3_names(tmp_path: Path) -> None:
    for language in ("hau", "nob", "zlm"):
        (tmp_path / language / "symbolic").mkdir(parents=True)
        (tmp_path / language / "symbolic" / "0001.toml").write_text('question = "?"\nanswer = "#### 5"\n')
    task = RELEASED["gsm_symbolic"].of_folder(tmp_path)  # type: ignore[attr-defined]
    assert list(task.items) == ["nob 0001", "zlm 0001"]
    assert BEYOND.isdisjoint(code.partition("_")[0] for code in languages())


def test_some_questions_are_as_many_of_each_language(tmp_path: Path) -> None:
    rows = [
        {"language": language, "id": f"{n}", "question": f"{n}?", "answer": f"#### {n}"}
        for language, count in (("deu", 40), ("swh", 40), ("isl", 2))
        for n in range(count)
    ]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = released("gsm_symbolic", str(path))

    def counts(n: int) -> dict[str, int]:
        return Counter(p.language for p in task.distinct(random.Random(n), 0, "test", n))

    assert counts(6) == {"deu": 2, "swh": 2, "isl": 2}
    assert counts(13) == {"deu": 6, "swh": 5, "isl": 2}  # what one lacks, the others have
    assert counts(500) == {"deu": 40, "swh": 40, "isl": 2}


def test_translations_are_scored_by_letters(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"source": f"This is bridge {n}.", "target": f"Das ist die Brücke Nummer {n}.", "from": "en", "to": "de"}
        for n in range(9)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = released("translation", str(path))
    assert isinstance(task, Translation)
    problem = task.problem("3", 0, "test")
    assert "into German" in problem.messages[0].text and problem.language == "de"
    exact, near, far = (
        task.verify(problem, text) for text in (rows[3]["target"], "Das ist Brücke Nummer 3.", "This is bridge 3.")
    )
    assert exact.reward == 1 and 0.5 < near.reward < 1 and far.reward < 0.3
    assert exact.ok and near.ok and not far.ok
    checked = judge(task, labelled(task, 12))
    assert not checked.taken and not checked.missed


def test_names_of_the_packaged_table() -> None:
    pytest.importorskip("babel")
    task = released("names", None)
    assert len({item.language for item in task.items.values()}) > 80
    problem = task.problem("de territory FR", 0, "test")
    assert problem.answer_key == "Frankreich"
    assert task.verify(problem, "Das ist Frankreich.").ok and not task.verify(problem, "France").ok
