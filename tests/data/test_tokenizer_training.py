"""A tokenizer that is made here: ids equal transformers', symbols are single ids, every text comes back."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from ponder.core.errors import UserError
from ponder.data.procedural import documents
from ponder.data.tokenizer import SMALLEST, train_tokenizer
from ponder.tasks.table import TASKS
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import ADDED
from ponder.text.tokenizer_files import save

SYMBOLS = [s for task in TASKS.values() for s in task.symbols]
TEXTS = list(documents(list(TASKS.values()), seed=0, count=400))
MADE = train_tokenizer(TEXTS, 512, symbols=SYMBOLS)


def test_layout_of_the_ids() -> None:
    assert MADE.vocab_size <= 512 and MADE.encode("a") == [MADE.vocabulary.ids["a"]]
    assert [MADE.control[name] for name in ADDED] == list(range(MADE.vocab_size - 26, MADE.vocab_size))
    assert MADE.vocabulary.ids["!"] == 0, "bytes come first, as in the released tokenizers"


@pytest.mark.parametrize("symbol", sorted(set(SYMBOLS)))
def test_symbols_of_the_tasks_are_single_ids(symbol: str) -> None:
    assert len(MADE.encode(symbol)) == 1


def test_digits_are_never_joined() -> None:
    assert len(MADE.encode("1234567890")) == 10


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_every_text_comes_back(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    assert MADE.decode(MADE.encode(clean)) == unicodedata.normalize("NFC", clean)


def test_transformers_reads_the_files_and_gives_the_same_ids(tmp_path: Path) -> None:
    save(MADE, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in [*TEXTS[:50], "Größe und 数字 12", " the a b"]:
        assert theirs(text)["input_ids"] == MADE.encode(text, allow_control=True), text
    assert Tokenizer.from_path(tmp_path).encode(TEXTS[0]) == MADE.encode(TEXTS[0])


def test_the_same_text_gives_the_same_tokenizer() -> None:
    assert train_tokenizer(TEXTS, 512, symbols=SYMBOLS).vocabulary == MADE.vocabulary


def test_a_size_without_room_is_refused() -> None:
    with pytest.raises(UserError, match=f"take at least {SMALLEST}"):
        train_tokenizer(["text"], 200)


def test_a_size_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(UserError, match="1000000000 ids is too large; take at most 1048576"):
        train_tokenizer(["text"], 10**9)


def test_documents_are_of_the_train_split_and_of_both_kinds() -> None:
    task = TASKS["reverse"]
    rows = list(documents([task], seed=1, count=40))
    assert rows == list(documents([task], seed=1, count=40)) and rows != list(documents([task], seed=2, count=40))
    lines = {text.count("\n") for text in rows}
    assert len(lines) == 2, "with a thought, and without"
    with pytest.raises(UserError, match="not 'test'"):
        next(documents([task], seed=0, count=1, split="test"))
