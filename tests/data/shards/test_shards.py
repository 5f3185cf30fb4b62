"""Shards hold the ids of every document once, in order, and refuse what does not belong to them."""

from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.data.shards.read import Shards
from ponder.data.shards.report import compare, report
from ponder.data.shards.write import END, write
from ponder.data.tokenizer import train_tokenizer
from ponder.text.tokenizer.tokenizer import Tokenizer

TEXTS = [f"The number {n} comes after {n - 1}, and before {n + 1}." + " So it goes." * (n % 7) for n in range(60)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 320)


def documents() -> list[Document]:
    return [
        Document(text=text, source="ab"[n % 2], origin=f"#{n}", language="eng_Latn", labels={"value": n % 3})
        for n, text in enumerate(TEXTS)
    ]


def test_every_document_is_there_with_its_end_and_nothing_else(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write(documents(), tokenizer, tmp_path, shard=500)
    shards = Shards.open(tmp_path, tokenizer)
    assert len(list(tmp_path.glob("ids-*.bin"))) > 2
    end = tokenizer.control[END]
    pieces = shards.pieces(10_000)
    assert [shards.ids(pieces, n).tolist() for n in range(60)] == [[*tokenizer.encode(t), end] for t in TEXTS]
    assert shards.groups[int(pieces.group[4])].names() == ["source:a", "language:eng_Latn", "value:1.0"]
    assert (shards.documents["bytes"] == [len(t) for t in TEXTS]).all()


def test_long_documents_are_cut_and_a_single_last_id_is_left_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write([Document(text="a1b2c3", source="x", origin="")], tokenizer, tmp_path)  # six ids and the end
    shards = Shards.open(tmp_path, tokenizer)
    assert shards.pieces(3).length.tolist() == [3, 3]
    assert shards.pieces(4).length.tolist() == [4, 3]
    assert shards.ids(shards.pieces(4), 1)[-1] == tokenizer.control[END]


def test_a_killed_run_goes_on_behind_the_last_whole_shard(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write(documents(), tokenizer, tmp_path / "whole", shard=500)

    def killed():
        yield from documents()[:30]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(killed(), tokenizer, tmp_path / "killed", shard=500)
    with pytest.raises(UserError, match="no finished shards"):
        Shards.open(tmp_path / "killed", tokenizer)
    first = tmp_path / "killed" / "ids-0000.bin"
    before = first.stat().st_mtime_ns
    write(documents(), tokenizer, tmp_path / "killed", shard=500)
    assert first.stat().st_mtime_ns == before
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "killed").iterdir()}


def test_shards_of_another_tokenizer_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write(documents(), tokenizer, tmp_path)
    with pytest.raises(UserError, match="another tokenizer"):
        Shards.open(tmp_path, train_tokenizer(["one other text, another vocabulary"], 300))


def test_documents_and_sources_are_held_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write(documents(), tokenizer, tmp_path / "1", held_out=0.2, held_out_sources=["b"])
    shards = Shards.open(tmp_path / "1", tokenizer)
    held = shards.documents["held"]
    assert held[1::2].all() and 0 < held[::2].sum() < 15
    assert len(shards.pieces(10_000).length) + len(shards.pieces(10_000, held_out=True).length) == 60
    write(documents()[::-1], tokenizer, tmp_path / "2", held_out=0.2, held_out_sources=["b"])
    again = Shards.open(tmp_path / "2", tokenizer).documents["held"]
    assert (again[::-1] == held).all()  # by what a text says, not by where it stands
    with pytest.raises(UserError, match="which the text has not"):
        write(documents(), tokenizer, tmp_path / "3", held_out_sources=["c"])


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    qwen = Tokenizer.packaged()
    write(documents()[:3], qwen, tmp_path)
    shards = Shards.open(tmp_path, qwen)
    assert shards.ids(shards.pieces(999), 0).tolist() == [*qwen.encode(TEXTS[0]), 151643]


def test_the_report_counts_bytes_and_words_of_each_language(tokenizer: Tokenizer) -> None:
    some = [Document(text="to be or not", source="a", origin="", language="eng_Latn"),
            Document(text="你好世界" * 30, source="a", origin="", language="zho_Hans")]  # fmt: skip
    seen = compare(some, {"own": tokenizer, "Qwen3": Tokenizer.packaged()})
    assert seen["eng_Latn"].ids["Qwen3"] == 4 and seen["eng_Latn"].words == 4
    assert seen["zho_Hans"].bytes == 360 and seen["zho_Hans"].ids["own"] == 360  # it never saw the script
    page = report(some, {"own": tokenizer, "Qwen3": Tokenizer.packaged()})
    assert "| 12 | " in page and "| 3.00 |" in page and "no blanks" in page
