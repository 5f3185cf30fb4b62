"""`ponder data` from files to a text: in order, once, the same bytes whatever happened, and every refusal says why."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.data import clean, plan
from ponder.data.patterns import matches
from ponder.data.recipe import DataRecipe, read_recipe
from ponder.data.report import Report
from ponder.data.run import MANIFEST, PAGE, REPORT, TEXT, make
from ponder.data.tokenizer import train_tokenizer
from ponder.text.tokenizer_files import save

RECIPE = """
name = "test"
[[source]]
name = "texts"
files = ["texts/**/*.txt"]
language = "eng_Latn"
licence = "CC0-1.0"
[[source]]
name = "messages"
files = ["i18n/{language}.json"]
licence = "MIT"
"""


def sentence(n: int) -> str:
    words = [f"{chr(97 + (n * k) % 26)}{'aeiou'[(n + k) % 5]}{chr(97 + (n + 3 * k) % 26)}" for k in range(1, 40)]
    return " ".join(words).capitalize() + "."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "texts/deep").mkdir(parents=True)
    for n in range(12):
        (tmp_path / f"texts/{n:02}.txt").write_text(f"{sentence(n)}\n{sentence(n + 100)}")
    (tmp_path / "texts/deep/copy.txt").write_text(f"{sentence(3)}\n{sentence(103)}".upper())
    (tmp_path / "texts/short.txt").write_text("Too little.")
    (tmp_path / "i18n").mkdir()
    for name in ("de", "sw", "qqq"):
        table = {str(n): f"{name} message {n}: {sentence(n + len(name) * 7 + ord(name[0]))}" for n in range(30)}
        (tmp_path / f"i18n/{name}.json").write_text(json.dumps(table))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def run(folder: Path, out: str = "out", sample: int | None = None, workers: int = 1) -> Report:
    return make(
        read_recipe(folder / "recipe.toml"), folder / out, sample=sample, workers=workers, say=lambda text: None
    )


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_comes_out(folder: Path) -> None:
    report = run(folder)
    documents = lines(folder / "out" / TEXT)
    assert [d["origin"] for d in documents][:12] == [f"texts/{n:02}.txt#0" for n in range(12)]
    assert {d["language"] for d in documents} == {"eng_Latn", "deu_Latn", "swh_Latn"}, "qqq is no language"
    texts = report.sources["texts"]
    assert (texts.files, texts.documents, texts.kept, texts.dropped) == (14, 14, 13, {"too short": 1})
    assert report.repetitions == {"texts": 1}
    assert report.repeated_samples[0][:2] == ("texts/deep/copy.txt#0", "texts/03.txt#0") or (
        report.repeated_samples[0][:2] == ("texts/03.txt#0", "texts/deep/copy.txt#0")
    )
    manifest = json.loads((folder / "out" / MANIFEST).read_text())
    assert [(s["name"], s["licence"], s["files"]) for s in manifest["sources"]] == [
        ("texts", "CC0-1.0", 14), ("messages", "MIT", 2),
    ]  # fmt: skip
    assert "Too little." in (folder / "out" / PAGE).read_text()
    assert json.loads((folder / "out" / REPORT).read_text())["by_language"]["swh_Latn"]["documents"] >= 1


def test_the_same_bytes_for_any_workers_and_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LOT", 500)
    run(folder, "one")
    first = (folder / "one" / TEXT).read_bytes()
    run(folder, "two", workers=2)
    assert (folder / "two" / TEXT).read_bytes() == first
    monkeypatch.setattr(clean, "_documents", None)  # nothing is read a second time
    run(folder, "one")
    assert (folder / "one" / TEXT).read_bytes() == first


def test_only_what_changed_is_done_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(folder)
    read: list[str] = []
    whole = clean._documents
    monkeypatch.setattr(clean, "_documents", lambda lot, *more: read.append(lot.source.name) or whole(lot, *more))
    (folder / "texts/new.txt").write_text(sentence(50) + sentence(51))
    run(folder)
    assert read == ["texts"]
    assert "texts/new.txt#0" in [d["origin"] for d in lines(folder / "out" / TEXT)]


def test_a_sample_takes_from_every_source(folder: Path) -> None:
    report = run(folder, sample=2000)
    assert all(counts.files > 0 for counts in report.sources.values())
    assert report.total().files < 8
    assert run(folder, "again", sample=2000).by_source == report.by_source


def test_killed_anywhere_the_text_has_the_same_bytes(folder: Path) -> None:
    for n in range(400):
        (folder / f"texts/more-{n}.txt").write_text("\n".join(sentence(n * 50 + k) for k in range(50)))
    command = [sys.executable, "-m", "ponder", "data", str(folder / "recipe.toml"), "--workers", "1", "--out"]
    subprocess.run([*command, str(folder / "whole")], check=True, capture_output=True)
    for seconds in (0.3, 0.8, 1.3):
        process = subprocess.Popen(
            [*command, str(folder / "killed")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(folder / "killed")], check=True, capture_output=True)
    assert (folder / "killed" / TEXT).read_bytes() == (folder / "whole" / TEXT).read_bytes()
    assert not list((folder / "killed").rglob("*.partial"))


def test_repetitions_by_ids_of_a_tokenizer(folder: Path) -> None:
    save(train_tokenizer([sentence(n) for n in range(20)], 400), folder / "tokenizer")
    first = lines(folder / "out" / TEXT) if run(folder) else []
    (folder / "recipe.toml").write_text(f'tokenizer = "tokenizer"\n{RECIPE}')
    report = run(folder)
    assert report.repetitions == {"texts": 1} and lines(folder / "out" / TEXT) == first
    assert json.loads((folder / "out" / MANIFEST).read_text())["tokenizer"] == "tokenizer"


def test_lines_that_documents_share_stay_once(folder: Path) -> None:
    menu = "Home, products, support, contact, about this site, sign in"
    for n in range(12):
        (folder / f"texts/{n:02}.txt").write_text(f"{menu}\n{sentence(n)}\n{sentence(n + 100)}")
    report = run(folder)
    texts = [d["text"] for d in lines(folder / "out" / TEXT) if d["source"] == "texts"]
    assert sum(menu in text for text in texts) == 1 and texts[0].startswith(menu)
    assert report.joined.mended == 11 and "11 lost lines" in (folder / "out" / PAGE).read_text()


def test_documents_that_hold_a_test_are_left_out_and_told(folder: Path) -> None:
    question = sentence(60)
    (folder / "bench.jsonl").write_text(json.dumps({"prompt": question, "answer": "seven"}))
    (folder / "recipe.toml").write_text(
        RECIPE + '[[held_out]]\nname = "bench"\nfiles = ["bench.jsonl"]\nquestion = "prompt"\n'
        '[[held_out]]\nname = "own"\ntasks = ["count"]\neach = 3\n'
    )
    (folder / "texts/leak.txt").write_text(f"{sentence(70)} {question.upper()} {sentence(71)}")
    report = run(folder)
    assert report.total().dropped["holds bench"] == 1
    assert "texts/leak.txt#0" not in [d["origin"] for d in lines(folder / "out" / TEXT)]
    assert report.total().samples["holds bench"][0] in question.lower()
    (folder / "bench.jsonl").write_text(json.dumps({"prompt": sentence(61)}))
    assert "holds bench" not in run(folder).total().dropped, "another test, another text"


def test_unreadable_files_are_named_and_too_many_stop_the_run(folder: Path) -> None:
    (folder / "texts/bad.txt").write_bytes(b"\xff\0\xff")
    with pytest.raises(UserError, match=r"1 of 15 files cannot be read \(the first, texts/bad.txt, has zero bytes"):
        run(folder)
    recipe: DataRecipe = replace(read_recipe(folder / "recipe.toml"), unreadable=0.1)
    said: list[str] = []
    report = make(recipe, folder / "out", sample=None, workers=1, say=said.append)
    assert report.sources["texts"].unreadable == {"texts/bad.txt": "has zero bytes: no text"}
    assert any("texts/bad.txt" in line for line in said)


def test_documents_inside_a_file_are_counted_too(folder: Path) -> None:
    table = [json.dumps({"text": f"{sentence(n)} {sentence(n + 40)}"}) for n in range(19)]
    (folder / "texts/more.jsonl").write_text("\n".join([*table[:7], "{", *table[7:]]))
    text = RECIPE.replace("texts/**/*.txt", "texts/*.jsonl")
    (folder / "recipe.toml").write_text(text)
    with pytest.raises(UserError, match=r"1 of 20 documents inside its files cannot be read \(the first, .*line 8"):
        run(folder)
    (folder / "recipe.toml").write_text(text.replace('"test"', '"test"\nunreadable = 0.05'))
    report = run(folder)
    assert (report.sources["texts"].documents, report.sources["texts"].dropped) == (19, {"unreadable": 1})


def test_a_source_tree_has_a_licence_over_its_files(folder: Path) -> None:
    code = "\n".join(f"def function_{c}(value: int) -> int:\n    return value + {n}" for n, c in enumerate("abcdefgh"))
    for name in ("tree/free/src/a.py", "tree/free/src/b.min.js", "tree/free/notes.txt", "tree/not/c.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{code}\n# {name}")
    (folder / "tree/free/src/d.py").write_text(f"# Generated by a program\n{code}")
    text = RECIPE.replace("texts/**/*.txt", "tree/**/*").replace(
        '"CC0-1.0"', '"various"\nformat = "code"\nshared_lines = 0'
    )
    (folder / "recipe.toml").write_text(text)
    with pytest.raises(UserError, match="no file below it"):
        run(folder)
    (folder / "tree/free/LICENSE.txt").write_text("Do as you like.")
    said: list[str] = []
    report = make(read_recipe(folder / "recipe.toml"), folder / "out", sample=None, workers=1, say=said.append)
    assert [d["origin"] for d in lines(folder / "out" / TEXT)][:1] == ["tree/free/src/a.py#0"]
    assert (report.sources["texts"].files, report.sources["texts"].dropped) == (2, {"generated": 1})
    assert "left out: texts: 1 source files with no licence file over them" in said
    manifest = json.loads((folder / "out" / MANIFEST).read_text())
    assert manifest["sources"][0]["licence_files"] == ["tree/free/LICENSE.txt"]


def test_so_much_of_each_language(folder: Path) -> None:
    (folder / "i18n/de").mkdir()
    for n in range(5):
        (folder / f"i18n/de/part-{n}.json").write_text((folder / "i18n/de.json").read_text().replace("de", f"d{n}"))
    size = (folder / "i18n/de.json").stat().st_size
    text = RECIPE.replace('"i18n/{language}.json"', '"i18n/{language}.json", "i18n/{language}/*.json"')
    (folder / "recipe.toml").write_text(f"{text}per_language = {3 * size - 5}")
    counts = run(folder).sources["messages"]
    assert counts.files == 4, "three in German, one in Swahili"
    assert run(folder, "again").sources["messages"].kept == counts.kept, "the seed decides which"


def test_a_full_disk_is_said_in_words_and_the_run_goes_on_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = clean.texts_of

    def full(path: Path, *more: object) -> object:
        if path.suffix == ".json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, *more)

    monkeypatch.setattr(clean, "texts_of", full)
    with pytest.raises(UserError, match=r"No space left on device: lots that are finished are whole") as raised:
        run(folder)
    assert raised.value.code == "disk_full" and not (folder / "out" / TEXT).exists()
    monkeypatch.setattr(clean, "texts_of", whole)
    assert run(folder).by_source.keys() == {"texts", "messages"}
    assert not list((folder / "out").rglob("*.partial"))


def dying(lot: plan.Lot, **more: object) -> None:
    os._exit(9)


def test_a_process_that_dies_is_said_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponder.data.run.clean", dying)
    with pytest.raises(UserError, match="a process of this run was killed"):
        run(folder, workers=2)


@pytest.mark.parametrize(("old", "new", "message"), [
    ('name = "texts"', 'nmae = "texts"', "did you mean name"),
    ('language = "eng_Latn"', 'language = "eng_Latin"', "did you mean eng_Latn"),
    ('licence = "MIT"', "", "no licence"),
    ("{language}", "{languag}", "did you mean {language}"),
    ('licence = "MIT"', 'licence = "MIT"\nlanguage = "deu_Latn"', "not both"),
    ('licence = "MIT"', 'licence = "MIT"\nper_language = 0', "1 or more"),
    ('licence = "MIT"', 'licence = "MIT"\npypi = "six"', "name==version"),
    ('licence = "MIT"', 'licence = "MIT"\nhub = "one/two"', "no hub was given"),
    ('licence = "MIT"', 'licence = "MIT"\nhub = "one"', "owner/name"),
    ('licence = "MIT"', 'licence = "MIT"\nhub = "one/two"\npypi = "six==1"', "one of debian, pypi and hub"),
    ("texts/**/*.txt", "texts/**/*.doc", "no file below"),
    ('name = "messages"', 'name = "texts"', "two sources"),
    ('name = "test"', 'name = "test"\nsimilar = 2', "at most 1"),
    ('name = "test"', 'name = "test"\nrules = 3', "a section"),
    ('name = "test"', 'name = "test"\n[rules]\nshortes = 3', "did you mean shortest"),
    ('name = "test"', 'name = "test"\ntokenizer = "nowhere"', "no tokenizer nowhere"),
    ('name = "test"', 'name = "test"\n[[held_out]]\nname = "x"', "neither files nor tasks"),
    ('name = "test"', 'name = "test"\n[[held_out]]\nname = "x"\nfiles = ["none.jsonl"]', "no file below"),
    ('name = "test"', 'name = "test"\n[[held_out]]\nname = "x"\nfiles = ["i18n/de.json"]', "no text under"),
    ('name = "test"', 'name = "test"\n[[held_out]]\nname = "x"\ntasks = ["cuont"]', "did you mean count"),
    ("[[source]]", "[[sorce]]", "did you mean source"),
    ('name = "texts"', "name = ", "no TOML"),
])  # fmt: skip
def test_recipes_that_cannot_be(old: str, new: str, message: str, folder: Path) -> None:
    (folder / "recipe.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(UserError, match=message):
        run(folder)


def test_a_folder_has_one_run_at_a_time(folder: Path) -> None:
    from filelock import FileLock

    (folder / "out").mkdir()
    with FileLock(folder / "out/.lock"), pytest.raises(UserError, match="another run"):
        run(folder)


def test_patterns_of_files(tmp_path: Path) -> None:
    for name in ("a/pt_BR/x.mo", "a/de/deep/x.mo", "a/langpack-de@b.xpi", "b/sw.json", "a.b/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(pattern: str) -> list[tuple[str, str | None]]:
        return sorted((path.relative_to(tmp_path).as_posix(), locale) for path, locale in matches(pattern, tmp_path))

    assert found("a/{language}/*.mo") == [("a/pt_BR/x.mo", "pt_BR")]
    assert found("a/{language}/**/*.mo") == [("a/de/deep/x.mo", "de"), ("a/pt_BR/x.mo", "pt_BR")]
    assert found("**/langpack-{language}@*.xpi") == [("a/langpack-de@b.xpi", "de")]
    assert found("[bc]/{language}.json") == [("b/sw.json", "sw")]
    assert found("*.b/*") == [("a.b/c.txt", None)]
    assert found(f"{tmp_path}/b/{{language}}.json") == [("b/sw.json", "sw")]


@pytest.mark.parametrize("package", ["no-such-package-as-this", "--help"])
def test_a_package_that_is_not_there(package: str, folder: Path) -> None:
    text = RECIPE.replace('name = "texts"', f'name = "texts"\ndebian = "{package}"')
    (folder / "recipe.toml").write_text(text)
    with pytest.raises(UserError, match=r"apt knows no package|which this system has not"):
        run(folder)
