"""The table of merges: ids and places equal to the library's on every text, and no damaged file is believed."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from ponder.core.errors import LoadError
from ponder.text.tokenizer import bpe
from ponder.text.tokenizer.bpe import Merges
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

FIDELITY = Path(__file__).parents[3] / "ponder" / "model" / "quantise" / "quality.txt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tok")
    save(Tokenizer.packaged(), path)
    return path


@pytest.fixture(scope="module")
def library(folder: Path) -> Tokenizer:
    return Tokenizer.from_path(folder)


@pytest.fixture(scope="module")
def table(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    cache = tmp_path_factory.mktemp("cache") / "tokenizers"
    Tokenizer.from_path(folder, cache)
    second = Tokenizer.from_path(folder, cache)
    assert "_library" not in second.__dict__ and "vocabulary" not in second.__dict__
    return second


def _same(table: Tokenizer, library: Tokenizer, text: str) -> None:
    assert table._table is not None
    found = table._table.encode(text)
    ids, start_of = library._encode(text)
    assert found is None or found == (ids, [start_of(at) for at in range(len(ids))]), text


def test_real_text(table: Tokenizer, library: Tokenizer) -> None:
    text, rng = FIDELITY.read_text(), random.Random(0)
    for _ in range(300):
        start = rng.randrange(len(text))
        _same(table, library, text[start : start + rng.randint(1, 200)])
    assert table.encode(text[:2000]) == library.encode(text[:2000])
    assert "_library" not in table.__dict__  # nothing of this needed it


@settings(max_examples=400, deadline=None)
@given(text=st.one_of(st.text(max_size=60), st.text("aeth \n\t'sSLL1你é́🙂\u200d", max_size=60)))
def test_any_text(table: Tokenizer, library: Tokenizer, text: str) -> None:
    assert table.encode_pieces([text, 5, text, "x"]) == library.encode_pieces([text, 5, text, "x"])
    _same(table, library, text)


def test_everything_else_is_the_same(table: Tokenizer, library: Tokenizer) -> None:
    for name in ("control", "special_ids", "vocab_size", "eos_ids", "think", "end_think", "im_end", "tool_call"):
        assert getattr(table, name) == getattr(library, name), name
    assert all(table.token_bytes(i) == library.token_bytes(i) for i in range(-2, library.vocab_size + 5))
    assert table.encode("<|im_end|>hi<think>", allow_control=True) == library.encode(
        "<|im_end|>hi<think>", allow_control=True
    )


def test_long_and_changed_texts_go_to_the_library(folder: Path, library: Tokenizer, tmp_path: Path) -> None:
    for text in ("word " * bpe.SHORT, "e\u0301"):  # NFC makes one character of the second
        Tokenizer.from_path(folder, tmp_path)
        tokenizer = Tokenizer.from_path(folder, tmp_path)
        assert tokenizer.encode(text) == library.encode(text)
        assert "_library" in tokenizer.__dict__
        assert tokenizer.vocabulary == library.vocabulary


def test_a_changed_tokenizer_is_read_anew(folder: Path, tmp_path: Path) -> None:
    copy, cache = tmp_path / "copy", tmp_path / "cache"
    save(Tokenizer.packaged("qwen2.5"), copy)
    assert Tokenizer.from_path(copy, cache).think is None
    (copy / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    for _ in range(2):
        assert Tokenizer.from_path(copy, cache).think == 151667


def test_damaged_tables_are_made_anew(folder: Path, tmp_path: Path) -> None:
    Tokenizer.from_path(folder, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    arrays = load_file(path)
    with safe_open(path, "np") as f:
        meta = f.metadata()
    for damage in (b"", whole[:-1], whole[:100], b"\xff" * 100):
        path.write_bytes(damage)
        with pytest.raises(LoadError):
            Merges.load(path)
        assert Tokenizer.from_path(folder, tmp_path).encode("Hello") == [9707]
        Merges.load(path)
    for name in arrays:  # a table of other lengths or ids outside, in a file that is sound
        lie = dict(arrays)
        lie[name] = arrays[name][:-1] if name != "results" else arrays[name] | 0xFFFFFFFF
        save_file(lie, path, meta)
        with pytest.raises(LoadError, match="do not fit"):
            Merges.load(path)
        save_file(arrays | {name: arrays[name].astype("f4")}, path, meta)
        with pytest.raises(LoadError, match="do not fit"):
            Merges.load(path)


def test_no_place_for_the_table_is_no_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Tokenizer.from_path(folder, tmp_path / "file" / "cache").encode("Hello") == [9707]
