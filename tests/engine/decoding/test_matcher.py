"""The vocabulary's tables of grammars: made when a model is loaded, once for all models of one vocabulary."""

from pathlib import Path

import llguidance
import pytest

from ponder.core.params import Grammar
from ponder.engine.decoding import matcher
from ponder.engine.decoding.grammar import compile_grammar
from ponder.engine.llm import LLM
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import Vocabulary, byte_symbols


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the tables that were made."""
    matcher._vocabulary.cache_clear()
    matcher._tables.cache_clear()
    sizes: list[int] = []
    make = llguidance.LLTokenizer

    def counted(wrapped: object, *, n_vocab: int, eos_token: list[int]) -> object:
        sizes.append(n_vocab)
        return make(wrapped, n_vocab=n_vocab, eos_token=eos_token)

    monkeypatch.setattr(llguidance, "LLTokenizer", counted)
    return sizes


def _small(word: str = "") -> Tokenizer:
    """The bytes, and a word of two."""
    ids = {symbol: n for n, symbol in enumerate([*byte_symbols(), *([word] if word else [])])}
    merges = [(word[0], word[1])] if word else []
    return Tokenizer(Vocabulary(ids, merges, {"<|im_end|>": len(ids)}, frozenset({"<|im_end|>"}), "<|im_end|>"))


def test_one_vocabulary_has_one_table(made: list[int]) -> None:
    for tokenizer in (_small(), _small(), _small("ab"), _small("ac")):
        compiled = compile_grammar(tokenizer, tokenizer.eos_ids, Grammar("choice", '["abac"]'))
        assert compiled.fits(tokenizer.encode("abac")) and not compiled.fits(tokenizer.encode("aba"))
    assert made == [257, 258, 258]


def test_the_first_grammar_waits_for_no_table_where_the_model_was_prepared(made: list[int], tmp_path: Path) -> None:
    script = tmp_path / "replies.jsonl"
    script.write_text('{"text": "Yes."}\n')
    with LLM(f"scripted:{script}") as llm:
        assert made == [], "a short run does without"
        llm.prepare()
        assert made == [llm.profile.vocab]
        compile_grammar(llm.tokenizer, llm.profile.eos_ids, Grammar("json_object"))
    assert len(made) == 1


def test_the_packaged_vocabulary_is_one() -> None:
    assert Tokenizer.packaged() is Tokenizer.packaged()
