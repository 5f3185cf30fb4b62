"""GGUF files that llama.cpp's converter makes of rerankers: the whole model where the head is the embedding."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer, values

from ponder.core.errors import LoadError
from ponder.model.formats.gguf_read import read_gguf
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.weights.checkpoint import Checkpoint

WORDS = ["hello", "he"]


def as_reranker(source: Path, path: Path, rows: np.ndarray | None, drop: str = "") -> Path:
    """The file with what `convert_hf_to_gguf.py` writes for a reranker besides."""
    reader, writer = gguf.GGUFReader(source), gguf.GGUFWriter(path, "qwen3")
    for name, field in reader.fields.items():
        if name.startswith("qwen3."):
            writer.add_key_value(name, field.contents(), field.types[0])
    writer.add_token_list(reader.fields["tokenizer.ggml.tokens"].contents())
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(WORDS)
    for tensor in reader.tensors:
        if tensor.name != drop:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    if rows is not None:
        writer.add_tensor("cls.output.weight", rows.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def same(a: Checkpoint, b: Checkpoint) -> bool:
    first, second = values(a), values(b)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    def make(name: str, type_: str) -> tuple[Path, np.ndarray, np.ndarray]:
        """-> its file, the rows of the words in the embedding and in the head"""
        checkpoint = random_checkpoint(CONFIGS[name])
        source = tmp_path / "m.gguf"
        write_gguf(source, checkpoint, tiny_tokenizer(tmp_path), type_)
        tokens = gguf.GGUFReader(source).fields["tokenizer.ggml.tokens"].contents()
        ids, read = [tokens.index(word) for word in WORDS], values(checkpoint)
        table = read["model.embed_tokens.weight"]
        return source, table[ids], read.get("lm_head.weight", table)[ids]

    return make


@pytest.mark.parametrize("type_", ["F16", "Q8_0", "Q4_0"])
def test_a_head_that_is_the_embedding_is_there(type_: str, model: Any, tmp_path: Path) -> None:
    source, rows, _ = model("tied", type_)
    want, got = read_gguf(source), read_gguf(as_reranker(source, tmp_path / "r.gguf", rows))
    assert same(got, want) and got.config.tie_word_embeddings


def test_a_head_of_its_own_that_is_there_is_used(model: Any, tmp_path: Path) -> None:
    source, _, rows = model("untied", "F16")
    got = read_gguf(as_reranker(source, tmp_path / "r.gguf", rows))
    assert same(got, read_gguf(source)) and not got.config.tie_word_embeddings


def test_a_head_of_its_own_that_was_left_out_is_told(model: Any, tmp_path: Path) -> None:
    source, table, rows = model("untied", "F16")
    for given in (rows, table[::-1]):
        with pytest.raises(LoadError, match=r"a reranker as llama.cpp keeps it, without its head.*HF folder"):
            read_gguf(as_reranker(source, tmp_path / "r.gguf", given, drop="output.weight"))


def test_rows_that_do_not_fit_their_words(model: Any, tmp_path: Path) -> None:
    source, rows, _ = model("tied", "F16")
    with pytest.raises(LoadError, match="3 rows for 2 words"):
        read_gguf(as_reranker(source, tmp_path / "r.gguf", np.concatenate([rows, rows[:1]])))
    with pytest.raises(LoadError, match=r"without cls.output.weight"):
        read_gguf(as_reranker(source, tmp_path / "r.gguf", None))
