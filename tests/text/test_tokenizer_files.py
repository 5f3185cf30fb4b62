"""A saved tokenizer in the hands of others: transformers and llguidance."""

from pathlib import Path

import llguidance
import pytest
from sentences import LANGUAGES
from text_oracle import official
from transformers import AutoTokenizer

from ponder.core.message import Message
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import chat_template, save


@pytest.mark.parametrize("kind", ["qwen3", "qwen2.5"])
def test_saved_folder_loads_in_transformers(tmp_path: Path, kind: str) -> None:
    ours = Tokenizer.packaged(kind)
    save(ours, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in [*LANGUAGES, "a<|im_end|>b<tool_call>", "<think>\n\n</think>\n\n"]:
        ids = theirs(text)["input_ids"]
        assert ids == ours.encode(text, allow_control=True), text
        assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids)
    assert theirs.eos_token_id == 151645 and theirs.pad_token_id == 151643 and len(theirs) == ours.vocab_size
    chat = [{"role": "user", "content": "hi"}]
    saved = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert saved == official(chat, chat_template(kind), add_generation_prompt=True)
    assert saved == render([Message.user("hi")], ours).text
    assert Tokenizer.from_path(tmp_path).vocabulary == ours.vocabulary


def test_llguidance_takes_the_token_table(tok: Tokenizer) -> None:
    """What the engine's grammar hook needs: bytes of every token, control tokens marked as special."""

    class Source:
        def __init__(self) -> None:
            self.eos_token_id, self.bos_token_id = tok.im_end, None
            self.tokens = [tok.token_bytes(i) for i in range(tok.vocab_size)]
            self.special_token_ids = sorted(tok.control.values())

        def __call__(self, text: str) -> list[int]:
            return tok.encode(text)

    table = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Source()), n_vocab=tok.vocab_size)
    matcher = llguidance.LLMatcher(table, llguidance.grammar_from("regex", "<think>ok"))
    allowed = matcher.compute_bitmask()
    assert not allowed[151667 // 8] >> 151667 % 8 & 1, "the control token is not the text of its name"
    assert matcher.consume_tokens(tok.encode("<think>ok")) and matcher.is_accepting()


def test_bytes_are_no_text(tok: Tokenizer) -> None:
    """llguidance tries bytes first, and goes on with text when that is refused."""
    with pytest.raises(TypeError):
        tok.encode(b"test")  # type: ignore[arg-type]
