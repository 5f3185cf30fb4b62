"""The packaged identifier knows its languages, is small, and what it says is used as the recipe says."""

import json
import random
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.data.identify.identifier import Identifier
from ponder.data.identify.train import accuracy, group, held_out, learn, pieces, read
from ponder.data.languages import languages
from ponder.data.recipe import read_recipe
from ponder.data.run import TEXT, make
from ponder.data.steps.language import CONTRADICTED, Languages

SENTENCES = {
    "eng_Latn": "The river turned north behind the mill, and the road followed it for an hour.",
    "deu_Latn": "Der Fluss bog hinter der Mühle nach Norden ab, und die Straße folgte ihm eine Stunde lang.",
    "fra_Latn": "La rivière tournait vers le nord derrière le moulin, et la route la suivait pendant une heure.",
    "spa_Latn": "El río giraba hacia el norte detrás del molino, y el camino lo seguía durante una hora.",
    "pol_Latn": "Rzeka skręcała na północ za młynem, a droga biegła wzdłuż niej przez godzinę.",
    "tur_Latn": "Nehir değirmenin arkasında kuzeye dönüyor, yol da bir saat boyunca onu izliyordu.",
    "vie_Latn": "Con sông rẽ về phía bắc sau cối xay, và con đường chạy theo nó suốt một giờ.",
    "swh_Latn": "Mto uligeuka kuelekea kaskazini nyuma ya kinu, na barabara iliufuata kwa muda wa saa moja.",
    "fin_Latn": "Joki kääntyi pohjoiseen myllyn takana, ja tie seurasi sitä tunnin ajan.",
    "rus_Cyrl": "Река повернула на север за мельницей, и дорога шла вдоль неё целый час.",
    "ukr_Cyrl": "Річка повернула на північ за млином, і дорога йшла вздовж неї цілу годину.",
    "ell_Grek": "Το ποτάμι έστριβε βόρεια πίσω από τον μύλο και ο δρόμος το ακολουθούσε για μια ώρα.",
    "heb_Hebr": "הנהר פנה צפונה מאחורי הטחנה, והדרך ליוותה אותו במשך שעה.",
    "hin_Deva": "नदी चक्की के पीछे उत्तर की ओर मुड़ गई और सड़क एक घंटे तक उसके साथ चलती रही।",
    "tam_Taml": "ஆறு ஆலைக்குப் பின்னால் வடக்கே திரும்பியது, சாலை ஒரு மணி நேரம் அதைப் பின்தொடர்ந்தது.",
    "tha_Thai": "แม่น้ำไหลเลี้ยวไปทางเหนือหลังโรงสี และถนนก็เลียบตามไปอีกหนึ่งชั่วโมง",
    "jpn_Jpan": "川は水車小屋の裏で北に曲がり、道は一時間ほどそれに沿って続いた。",
    "kor_Hang": "강은 방앗간 뒤에서 북쪽으로 굽어졌고, 길은 한 시간 동안 강을 따라갔다.",
    "zho_Hans": "河在磨坊后面向北拐去，道路沿着它走了一个小时。谁也没有多说话。",
    "kat_Geor": "მდინარე წისქვილის უკან ჩრდილოეთით უხვევდა და გზა ერთი საათი მას მიჰყვებოდა.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_of_each(language: str) -> None:
    guess = Identifier.packaged().guess(SENTENCES[language])
    assert guess.language == language and guess.probability > 0.5


def test_it_is_small_and_knows_all_that_have_text() -> None:
    identifier = Identifier.packaged()
    assert set(identifier.codes) <= set(languages()) and len(identifier.codes) >= 115
    model = files("ponder.data.identify").joinpath("languages.npz")
    assert len(model.read_bytes()) < 5_000_000


@pytest.mark.parametrize("text", ["", "12 34", "...", "\n\n", "🙂🙂"])
def test_no_letters_no_language(text: str) -> None:
    assert Identifier.packaged().guess(text) == ("", 0.0)
    assert Languages().language("", text, Identifier.packaged()) == ""
    assert Languages().language("deu_Latn", text, Identifier.packaged()) == "deu_Latn"


def test_a_long_text_is_looked_at_in_places() -> None:
    text = "0123456789 " * 1000 + SENTENCES["deu_Latn"] * 5
    assert Identifier.packaged().guess(text).language == "deu_Latn"


def test_the_source_is_believed_unless_the_text_says_clearly_otherwise() -> None:
    identifier, how = Identifier.packaged(), Languages()
    english = SENTENCES["eng_Latn"]
    assert how.language("", english, identifier) == "eng_Latn"
    assert how.language("eng_Latn", english, identifier) == "eng_Latn"
    assert how.language("jpn_Jpan", english, identifier) is None
    assert how.language("acq_Arab", english, identifier) == "acq_Arab", "a language that it does not know"
    assert Languages(contradicted=0).language("jpn_Jpan", english, identifier) == "jpn_Jpan"
    assert Languages(sure=1).language("", english, identifier) == ""
    with pytest.raises(UserError, match="0 to 1"):
        Languages(sure=2)


def test_a_run_writes_the_language_and_leaves_out_what_contradicts_its_source(tmp_path: Path) -> None:
    for code in ("deu_Latn", "eng_Latn", "rus_Cyrl"):
        (tmp_path / f"{code}.txt").write_text(f"{SENTENCES[code]}\n{SENTENCES[code].upper()} Ω")
    (tmp_path / "recipe.toml").write_text(
        "[rules]\nrepeated_text = 1.0\nshortest = 50\n"
        '[[source]]\nname = "told"\nfiles = ["*.txt"]\nlanguage = "deu_Latn"\nlicence = "MIT"\n'
        '[[source]]\nname = "untold"\nfiles = ["*_Cyrl.txt"]\nlicence = "MIT"\n'
    )
    report = make(
        read_recipe(tmp_path / "recipe.toml"), tmp_path / "out", sample=None, workers=1, say=lambda said: None
    )
    documents = [json.loads(line) for line in (tmp_path / "out" / TEXT).read_text().splitlines()]
    assert [(d["source"], d["language"]) for d in documents] == [("told", "deu_Latn"), ("untold", "rus_Cyrl")]
    assert report.sources["told"].dropped == {CONTRADICTED: 2}
    assert report.sources["told"].samples[CONTRADICTED][0].startswith("deu_Latn: ")


def test_training_holds_out_whole_files_in_all_languages(tmp_path: Path) -> None:
    rng = random.Random(0)
    words = {"deu_Latn": ["wasser", "straße", "fluss"], "fra_Latn": ["rivière", "moulin", "chemin"]}
    rows = []
    for n in range(60):
        for code, known in words.items():
            text = (
                "\n".join(" ".join(rng.choices(known, k=8)) + f" {n} {k}" for k in range(4)) + "\nthe same everywhere"
            )
            rows.append(Document(text=text, source="s", origin=f"i18n/{n}/{code}.json#0", language=code))
    (tmp_path / "text.jsonl").write_bytes(b"".join(msgspec.json.encode(d) + b"\n" for d in rows))
    assert len({group(d) for d in rows}) == 60 and 0 < sum(map(held_out, rows)) < 30
    train, unseen = read([tmp_path / "text.jsonl"])
    assert {code: len(texts) for code, texts in train.items()} == {
        code: 60 - sum(map(held_out, rows)) // 2 for code in words
    }
    assert not any("the same everywhere" in lines for texts in train.values() for lines in texts)
    identifier = learn(train, each=30, passes=1, rate=0.5)
    right, _ = accuracy(identifier, ((code, piece) for code, texts in unseen.items() for piece in pieces(texts, rng)))
    assert right == {"deu_Latn": 1.0, "fra_Latn": 1.0}
    identifier.save(tmp_path / "m.npz")
    again = Identifier.load(tmp_path / "m.npz")
    assert again.guess("wasser") == identifier.guess("wasser") and again.identity() == identifier.identity()
