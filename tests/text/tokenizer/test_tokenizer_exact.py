"""The tokenizer against the released one: id for id, token for token, in every way it can be loaded."""

import random
import struct
import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentences import LANGUAGES
from text_oracle import official_ids, released, released_folder

from ponder.core.errors import LoadError
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.utf8 import Utf8Stream

# measured with a third tokenizer file (qwen.tiktoken of qwen-agent)
VECTORS = {
    "Hello, world!": "9707 11 1879 0",
    "Give me a short introduction to large language model.": "35127 752 264 2805 16800 311 3460 4128 1614 13",
    " tokenization": "3950 2022",
    "2025": "17 15 17 20",
    "你好，世界": "108386 3837 99489",
    "I'm don't DON'T": "40 2776 1513 944 44273 17323",
    "\n": "198",
    "\n\n": "271",
    "<think>\n\n</think>\n\n": "151667 271 151668 271",
    "/think": "20439 766",
    "/no_think": "33100 5854 766",
    " /no_think": "608 2152 5854 766",
    "<|im_start|>user\n": "151644 872 198",
    "<|im_start|>assistant\n": "151644 77091 198",
    "How many r's in strawberries?": "4340 1657 435 594 304 75103 30",
    "a  b\n\n  c": "64 220 293 271 220 272",
    "e\u0301": "963",
    "<|im_start|>system\n": "151644 8948 198",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n": (
        "151644 872 198 6023 151645 198 151644 77091 198 151667 271 151668 271"
    ),
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>': (
        "151657 198 4913 606 788 330 69 497 330 16370 788 4687 532 151658"
    ),
    "def f(x):\n    return x + 1\n": "750 282 2075 982 262 470 856 488 220 16 198",
    "3.14159": "18 13 16 19 16 20 24",
    "🤖": "147238",
    "\r\n": "319",
    "  leading": "220 6388",
    "tab\tx": "6192 10225",
    "مرحبا": "124122 29825 124671",
    "नमस्ते": "60096 87244 78368 30484 97 34370",
    "ＡＢＣ": "133054 139173 134557",
}


@pytest.mark.parametrize("text", VECTORS)
def test_vectors(tok: Tokenizer, text: str) -> None:
    assert tok.encode(text, allow_control=True) == [int(i) for i in VECTORS[text].split()]


def test_packaged_equals_the_released_file_id_for_id(tok: Tokenizer) -> None:
    reference = released().backend_tokenizer
    assert {**tok.vocabulary.ids, **tok.control} == reference.get_vocab(with_added_tokens=True)
    flags = {t.content: t.special for t in reference.get_added_tokens_decoder().values()}
    assert {name: name in tok.vocabulary.special for name in tok.control} == flags
    assert tok.vocab_size == 151669 and len(tok.vocabulary.merges) == 151387
    assert (tok.im_start, tok.im_end, tok.endoftext) == (151644, 151645, 151643)
    assert (tok.tool_call, tok.end_tool_call, tok.think, tok.end_think) == (151657, 151658, 151667, 151668)
    assert tok.eos_ids == (151645, 151643)


def test_qwen25_has_22_added_tokens(tok: Tokenizer, tok25: Tokenizer) -> None:
    assert tok25.think is None and tok25.end_think is None and tok25.tool_call == 151657 and tok25.vocab_size == 151665
    assert tok25.vocabulary.ids == tok.vocabulary.ids


def corpus(count: int, seed: int) -> list[str]:
    """Random texts over all scripts, white space, code and broken-up combining marks."""
    r = random.Random(seed)
    pools = [
        "etaoin shrdlu ETAOIN'", "0123456789", " \t\n\r\u00a0\u3000\u2003", "{}[]()<>|/\\'\"`~!@#$%^&*-_=+:;,.?",
        "éàüßñçœ", "你好世界的一是不了人", "ーひらがなカタ", "한국어글", "абвгд", "مرحبا", "नमस्ते",
        "\u0301\u0300\u0308\u0323\u094d",
        "😀🤖👍🏽\u200d\ufe0f", "\x00\x01\x7f\x85\u2028\ufeff\ufffd",
    ]  # fmt: skip
    any_character = [chr(c) for c in (*range(0xD800), *range(0xE000, 0x11000, 7), *range(0x11000, 0x110000, 997))]
    texts = []
    for _ in range(count):
        pool = "".join(r.sample(pools, r.randint(1, 4)))
        characters = r.choices(pool, k=r.randint(0, 60)) + r.choices(any_character, k=r.choice([0, 0, 5]))
        r.shuffle(characters)
        texts.append("".join(characters))
    return texts + LANGUAGES + [" ".join(LANGUAGES), "a" * 5000, " " * 3000, "\n" * 3000, "'" * 999, "9" * 999]


def test_encode_and_decode_equal_transformers_on_a_corpus(tok: Tokenizer) -> None:
    for text in corpus(6000, 1):
        ids = tok.encode(text)
        assert ids == official_ids(text), repr(text)
        assert tok.decode(ids) == released().decode(ids, skip_special_tokens=True), repr(text)


@pytest.mark.parametrize("text", LANGUAGES)
def test_languages_come_back_in_nfc(tok: Tokenizer, text: str) -> None:
    assert tok.decode(tok.encode(text)) == unicodedata.normalize("NFC", text)


def test_all_119_languages_come_back_and_have_the_released_ids(tok: Tokenizer) -> None:
    """ML-2: in the letters of each language (NFC or not), whole and cut at every character."""
    lines = (Path(__file__).parents[1] / "languages.txt").read_text("utf-8").splitlines()
    assert len({line.split("\t")[0] for line in lines}) == 119
    for _, text in (line.split("\t") for line in lines):
        for form in ("NFC", "NFD"):
            given, whole = unicodedata.normalize(form, text), unicodedata.normalize("NFC", text)
            ids = tok.encode(given)
            assert ids == official_ids(given) and tok.decode(ids) == whole, text
        parts = [tok.encode(character) for character in whole]
        assert "".join(tok.decode(part) for part in parts) == whole
        stream, pieces = Utf8Stream(), [tok.token_bytes(i) for i in ids]
        assert "".join(stream.feed(piece) for piece in pieces) + stream.flush() == whole, "as it is streamed"


def test_decoding_any_ids_equals_transformers(tok: Tokenizer) -> None:
    r = random.Random(2)
    for _ in range(2000):
        ids = [r.randrange(151669) for _ in range(r.randint(0, 12))]
        for skip in (True, False):
            assert tok.decode(ids, skip_special=skip) == released().decode(ids, skip_special_tokens=skip)


def test_ids_that_mean_nothing_have_no_bytes(tok: Tokenizer) -> None:
    for id_ in (151669, 151935, 1 << 40, -1, -151643):
        assert tok.token_bytes(id_) == b""
    assert tok.token_bytes(9707) == b"Hello" and tok.token_bytes(151645) == b"<|im_end|>"
    assert tok.text_bytes(151645) == b"" and tok.text_bytes(151657) == b"<tool_call>"


@settings(max_examples=200, deadline=None)
@given(cuts=st.lists(st.text(max_size=8), max_size=6))
def test_pieces_are_joined_before_bpe(tok: Tokenizer, cuts: list[str]) -> None:
    ids, owners = tok.encode_pieces([151644, *cuts, 151645])
    assert ids == [151644, *tok.encode("".join(cuts)), 151645]
    assert len(owners) == len(ids) and owners == sorted(owners) and owners[0] == 0 and owners[-1] == len(cuts) + 1
    assert all(cuts[k - 1] for k in owners[1:-1]), "an empty piece owns nothing"


def test_lone_surrogates_become_the_replacement_character(tok: Tokenizer) -> None:
    assert tok.encode("\ud83d\ude00") == tok.encode("😀")
    assert tok.decode(tok.encode("a\ud83db")) == "a\ufffdb"
    assert tok.decode(tok.encode_pieces(["\udc00", "x"])[0]) == "\ufffdx"


def gguf_file(path: Path, tok: Tokenizer, pre: str = "qwen2") -> Path:
    """A GGUF with a tokenizer and no tensors, written from the format's description."""

    def string(s: str) -> bytes:
        raw = s.encode()
        return struct.pack("<Q", len(raw)) + raw

    def strings(items: list[str]) -> bytes:
        return struct.pack("<IIQ", 9, 8, len(items)) + b"".join(map(string, items))

    tokens = [f"[PAD{i}]" for i in range(151936)]
    types = [5] * len(tokens)
    for table, type_ in ((tok.vocabulary.ids, 1), (tok.control, 4)):
        for token, id_ in table.items():
            tokens[id_], types[id_] = token, 3 if token in tok.vocabulary.special or "<|fim" in token else type_
    keys = {
        "tokenizer.ggml.model": struct.pack("<I", 8) + string("gpt2"),
        "tokenizer.ggml.pre": struct.pack("<I", 8) + string(pre),
        "tokenizer.ggml.tokens": strings(tokens),
        "tokenizer.ggml.token_type": struct.pack(f"<IIQ{len(types)}i", 9, 5, len(types), *types),
        "tokenizer.ggml.merges": strings([" ".join(m) for m in tok.vocabulary.merges]),
        "tokenizer.ggml.eos_token_id": struct.pack("<II", 4, 151645),
    }
    body = b"".join(string(k) + v for k, v in keys.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + body)
    return path


def test_every_source_gives_the_same_tokenizer(tok: Tokenizer, tmp_path: Path) -> None:
    sources = [released_folder(), released_folder() / "tokenizer.json", gguf_file(tmp_path / "m.gguf", tok)]
    for source in sources:
        other = Tokenizer.from_path(source)
        assert other.vocabulary == tok.vocabulary and other.eos_ids == tok.eos_ids, source


def test_old_merge_spelling_is_read(tok: Tokenizer, tmp_path: Path) -> None:
    content = msgspec.json.decode((released_folder() / "tokenizer.json").read_bytes())
    content["model"]["merges"] = [" ".join(m) for m in content["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_bytes(msgspec.json.encode(content))
    assert Tokenizer.from_path(tmp_path).vocabulary.merges == tok.vocabulary.merges


@pytest.mark.parametrize(
    "change", ["type", "normalizer", "split", "merge", "bytes", "ids", "huge id", "not json", "missing"]
)
def test_other_and_damaged_tokenizers_are_refused_by_name(tmp_path: Path, change: str) -> None:
    content = msgspec.json.decode((released_folder() / "tokenizer.json").read_bytes())
    model = content["model"]
    if change == "type":
        model["type"] = "Unigram"
    elif change == "normalizer":
        content["normalizer"] = None
    elif change == "split":
        content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\p{L}+"
    elif change == "merge":
        model["merges"].append(["no such", "token"])
    elif change == "bytes":
        del model["vocab"]["!"]
    elif change == "ids":
        model["vocab"]["!"] = 7
    elif change == "huge id":
        content["added_tokens"][0]["id"] = 1 << 40
    path = tmp_path / "tokenizer.json"
    if change != "missing":
        path.write_bytes(b"{" if change == "not json" else msgspec.json.encode(content))
    with pytest.raises(LoadError, match=r"tokenizer\.json"):
        Tokenizer.from_path(path)


def test_foreign_gguf_tokenizer_is_refused(tok: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="llama-bpe"):
        Tokenizer.from_path(gguf_file(tmp_path / "x.gguf", tok, pre="llama-bpe"))
