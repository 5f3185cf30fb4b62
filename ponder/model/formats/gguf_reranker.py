"""Rerankers as llama.cpp converts them: `pooling_type` 4, and `cls.output.weight`, the head's rows of two words.

Where the head is the embedding (Qwen3-Reranker-0.6B and -4B) these rows say nothing new, and the file is the whole
language model that the folder is. A head of its own (8B) was left out of the file, all but two rows: such a file is
refused, as nothing else in it tells that.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF, TensorInfo

ROWS = "cls.output.weight"
TOLD = "classifier.output_labels"
_EMBED, _HEAD = "token_embd.weight", "output.weight"
_ALIKE = 0.9  # cosine of a row and the embedding it was taken from, in the coarsest types; of two others about 0
_FOLDER = "use the model's HF folder instead"

Stored = Mapping[str, tuple[GGUF, TensorInfo]]
Values = Callable[[GGUF, TensorInfo], NDArray[np.float32]]


def is_reranker(gguf: GGUF) -> bool:
    return gguf.metadata.get(f"{gguf.metadata.get('general.architecture')}.pooling_type") == 4


def check_head(gguf: GGUF, stored: Stored, values: Values) -> None:
    """values: of a tensor, or of some of its rows. Raises LoadError where the head is not in the file."""
    if ROWS not in stored or _EMBED not in stored:
        raise LoadError(f"{gguf.path}: a reranker as llama.cpp keeps it, but without {ROWS}; {_FOLDER}")
    if _HEAD in stored:
        return
    words = _words(gguf)
    owner, embedding = stored[_EMBED]
    rows = values(*stored[ROWS]).reshape(-1, embedding.shape[1])
    if len(rows) != len(words):
        raise LoadError(f"{gguf.path}: {ROWS} has {len(rows)} rows for {len(words)} words; {_FOLDER}")
    for row, word in zip(rows, words, strict=True):
        size = embedding.nbytes // embedding.shape[0]
        place = TensorInfo(_EMBED, (1, embedding.shape[1]), embedding.type, embedding.offset + word * size, size)
        if _cosine(row, values(owner, place).reshape(-1)) < _ALIKE:
            raise LoadError(f"{gguf.path}: a reranker as llama.cpp keeps it, without its head; {_FOLDER}")


def _words(gguf: GGUF) -> list[int]:
    """The ids of the words that the rows are of."""
    labels = gguf.metadata.get(f"{gguf.metadata['general.architecture']}.{TOLD}", ["yes", "no"])
    tokens = gguf.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(labels, list) or not isinstance(tokens, list) or not all(label in tokens for label in labels):
        raise LoadError(f"{gguf.path}: {TOLD} {labels!r} are no tokens of its vocabulary; {_FOLDER}")
    return [tokens.index(label) for label in labels]


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))
