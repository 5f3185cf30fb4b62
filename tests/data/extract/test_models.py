"""Pages read and texts corrected by a scripted endpoint: what is taken, what is refused, and nothing is asked twice."""

import base64
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pdf_files import lines, pdf_of

from ponder.core.errors import UserError
from ponder.data.extract import endpoint
from ponder.data.extract.correct import PIECE, added, pieces
from ponder.data.extract.endpoint import Asked, Endpoint
from ponder.data.extract.scans import Tesseract, page_reader
from ponder.data.recipe import read_recipe
from ponder.data.report import Report
from ponder.data.run import PAGE, TEXT, make

WORDS = "It is about the sea, the ships on it, and the people of a town that lives from both of them since ever."
SCAN = "What stands on the picture is a letter, which was written in the year 1887 by one of its captains to another."


class Server(http.server.BaseHTTPRequestHandler):
    """answer: from the content of the message to a text, or to the status of a refusal."""

    asked: ClassVar[list[Any]]
    answer: ClassVar[Callable[[Any], str | int]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append((self.path, self.headers["Authorization"], body))
        said = type(self).answer(body["messages"][0]["content"])
        if isinstance(said, int):
            self.send_error(said)
            return
        finish = "length" if said == "cut" else "stop"
        raw = json.dumps({"choices": [{"message": {"content": said}, "finish_reason": finish}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Server], str]]:
    kind = type("OneServer", (Server,), {"asked": [], "answer": staticmethod(lambda content: SCAN)})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield kind, f"http://127.0.0.1:{running.server_port}/v1"
        running.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.pdf").write_bytes(pdf_of([lines(60, 700, [WORDS[:60], WORDS[60:]]), []], picture=[1]))
    return tmp_path


def run(folder: Path, more: str) -> Report:
    recipe = 'name = "t"\n[[source]]\nname = "books"\nfiles = ["*.pdf"]\nlicence = "CC0-1.0"\nlanguage = "eng_Latn"\n'
    (folder / "recipe.toml").write_text(recipe + more)
    return make(read_recipe(folder / "recipe.toml"), folder / "out", sample=None, workers=1, say=lambda text: None)


def text_of(folder: Path) -> str:
    (line,) = (folder / "out" / TEXT).read_text().splitlines()
    return str(json.loads(line)["text"])


def test_a_scanned_page_is_read_by_a_model(server: tuple[type[Server], str], folder: Path) -> None:
    kind, url = server
    (folder / "key").write_text("secret\n")
    scans = f'[scans]\nurl = "{url}"\nmodel = "vl"\nkey_file = "{folder / "key"}"\n'
    report = run(folder, scans)
    assert text_of(folder).endswith(f"\n\n{SCAN}")
    ((path, key, body),) = kind.asked
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret", "vl")
    picture = body["messages"][0]["content"][0]["image_url"]["url"]
    assert base64.b64decode(picture.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert report.total().models == {"pages read": 1}
    assert SCAN in (folder / "out" / PAGE).read_text()
    shutil.rmtree(folder / "out" / "clean")
    run(folder, scans)
    assert len(kind.asked) == 1, "what was answered is not asked again"


@pytest.mark.parametrize("said", ["cut", "", "<think>It is empty.</think>"])
def test_a_page_that_the_model_could_not_read(said: str, server: tuple[type[Server], str], folder: Path) -> None:
    kind, url = server
    kind.answer = staticmethod(lambda content: said)
    report = run(folder, f'[scans]\nurl = "{url}"\nmodel = "vl"\n')
    assert text_of(folder).startswith(WORDS[:60]) and "cut" not in text_of(folder)
    assert report.total().dropped == {"page without text": 1} and report.total().models == {"pages not read": 1}


def test_a_model_that_stops_half_way(
    server: tuple[type[Server], str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on with what it has not been told yet; a picture that is there twice is read once."""
    kind, url = server
    monkeypatch.setattr(endpoint, "TRIES", 1)
    pages = [[], lines(60, 700, [WORDS]), []]
    for name in ("a", "b"):
        (folder / f"{name}.pdf").write_bytes(pdf_of(pages, picture=[0, 2]))
    answers: list[str | int] = ["First.", 503, "Last."]
    kind.answer = staticmethod(lambda content: answers.pop(0))
    scans = f'[scans]\nurl = "{url}"\nmodel = "vl"\n'
    with pytest.raises(UserError, match="does not answer"):
        run(folder, scans)
    report = run(folder, scans)
    assert text_of(folder) == f"First.\n\n{WORDS}\n\nLast." and report.repetitions == {"books": 1}
    assert len(kind.asked) == 3 and not answers


def test_a_failure_keeps_what_was_answered(server: tuple[type[Server], str], tmp_path: Path) -> None:
    kind, url = server
    said: list[str | int] = ["one", 503, 429, "two", 400, "three"]
    kind.answer = staticmethod(lambda content: said.pop(0))
    asked = Asked(Endpoint(url=url, model="m"), tmp_path, pause=0.0)
    assert [asked.ask("a"), asked.ask("b")] == ["one", "two"]
    with pytest.raises(UserError, match=r"does not answer \(status 400: .*goes on from there"):
        asked.ask("c")
    again = Asked(Endpoint(url=url, model="m"), tmp_path, pause=0.0)
    assert [again.ask("a"), again.ask("b"), again.ask("c")] == ["one", "two", "three"]
    assert len(kind.asked) == 6


def test_endpoints_that_are_none(server: tuple[type[Server], str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not answer"):
        Asked(Endpoint(url="http://127.0.0.1:9/v1", model="m"), tmp_path, pause=0.0).ask("a")
    kind, url = server
    with pytest.raises(UserError, match="key_file"):
        Asked(Endpoint(url=url, model="m", key_file=str(tmp_path / "none")), tmp_path).ask("a")
    assert not kind.asked


WRONG = WORDS.replace("people", "peo ple").replace("since ever", "sinceever")


def corrector(answer: str) -> Callable[[str], str]:
    return lambda content: answer


@pytest.mark.parametrize(("answer", "taken"), [
    (WORDS, True),
    (WORDS.replace("ships", "shlps"), True),
    (f"{WORDS} And in the year of the great storm all of them were lost at sea.", False),
    (WORDS.replace("both of them", "both of 12"), False),
    ("Here is a summary.", False),
    ("cut", False),
])  # fmt: skip
def test_corrections(answer: str, taken: bool, server: tuple[type[Server], str], folder: Path) -> None:
    kind, url = server
    kind.answer = staticmethod(corrector(answer))
    (folder / "a.pdf").write_bytes(pdf_of([lines(60, 700, [WRONG])]))
    report = run(folder, f'[correct]\nurl = "{url}"\nmodel = "m"\nsources = ["books"]\n')
    assert text_of(folder) == (answer if taken else WRONG)
    what = "corrections taken" if taken else "corrections refused"
    assert report.total().models == ({what: 1} if answer != "cut" else {})
    page = (folder / "out" / PAGE).read_text()
    assert answer == "cut" or (f"{WRONG}\n---\n{answer}" in page and what in page), "before and after"


@settings(max_examples=30)
@given(st.text(max_size=3 * PIECE))
def test_pieces_are_the_text(text: str) -> None:
    found = list(pieces(text))
    assert "".join(found) == text and all(len(piece) <= PIECE for piece in found)


def test_pieces_end_between_paragraphs() -> None:
    text = "\n\n".join("a sentence of forty characters or so, yes " * 20 for _ in range(20))
    assert all(piece.endswith("\n\n") for piece in list(pieces(text))[:-1])


@given(st.text(min_size=60, max_size=300), st.text(alphabet="qwxyzQWXYZ ", min_size=45, max_size=80))
def test_an_added_sentence_is_seen(text: str, more: str) -> None:
    """Wherever it stands, unless its letters are too few to be a sentence."""
    if sum(map(str.isalpha, more)) > 40 and not set(more.casefold()) & set(text.casefold()) - {" "}:
        for at in (0, len(text) // 2, len(text)):
            assert added(text, text[:at] + more + text[at:])
    assert not added(text, text)


@pytest.mark.parametrize(("section", "message"), [
    ('[scans]\nurl = "x"\nmodel = "m"\n', "address of an endpoint"),
    ('[scans]\nby = "eyes"\n', "did you mean|there are model, tesseract"),
    ('[scans]\nurl = "http://x/v1"\n', "no model"),
    ("[scan]\n", "did you mean scans"),
    ('[correct]\nurl = "http://x/v1"\nmodel = "m"\nsources = ["bocks"]\n', "did you mean books"),
    ('[correct]\nurl = "http://x/v1"\nmodel = "m"\n', "no sources"),
])  # fmt: skip
def test_sections_that_cannot_be(section: str, message: str, folder: Path) -> None:
    with pytest.raises(UserError, match=message):
        run(folder, section)


def test_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="which this system has not"):
        page_reader(Tesseract(), tmp_path)
    script = '#!/bin/sh\nread -r _\n[ "$4" = deu ] && echo "Ein Text." || { echo "no language $4" >&2; exit 1; }\n'
    (tmp_path / "tesseract").write_text(script)
    (tmp_path / "tesseract").chmod(0o755)
    assert page_reader(Tesseract(languages="deu"), tmp_path)(b"picture\n") == "Ein Text."
    with pytest.raises(UserError, match="no language eng"):
        page_reader(Tesseract(), tmp_path)(b"picture\n")
