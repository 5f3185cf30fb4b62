"""What a quantisation costs: a model compared with its reference, on a fixed text (QU-1).

For each token of the text both models give a distribution of the next one. Reported are the mean and largest
Kullback-Leibler divergence (nats), how often the most likely token agrees, and both perplexities. The text is
quality.txt beside this file (prose, code, mathematics and tables in ten languages, written for this purpose), or any
other file; each window of it starts without the ones before.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.model import decoder
from ponder.model.model import Model
from ponder.text.tokenizer.tokenizer import Tokenizer

TEXT = Path(__file__).with_name("quality.txt")
WINDOW = 512
_ROWS = 64  # logits of so many tokens exist at a time: 64 x 151,936 float32 are 39 MB


class Quality(Struct, frozen=True):
    """kl in nats, reference against quantised. top1: share of tokens for which both have the same favourite."""

    tokens: int
    text_sha256: str
    mean_kl: float
    max_kl: float
    top1: float
    perplexity: float
    reference_perplexity: float

    def __str__(self) -> str:
        return (
            f"mean KL {self.mean_kl:.4f} nats (largest {self.max_kl:.2f}), same favourite {self.top1:.1%}, "
            f"perplexity {self.perplexity:.2f} against {self.reference_perplexity:.2f}, on {self.tokens} tokens"
        )


def read_text(tokenizer: Tokenizer, path: Path = TEXT) -> tuple[NDArray[np.int32], str]:
    """-> ids and the sha256 of the text. Raises UserError for a file that is not text or too short to measure on."""
    try:
        raw = path.read_bytes()
        ids = np.array(tokenizer.encode(raw.decode("utf-8")), np.int32)
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: not a readable UTF-8 text: {e}", param="text") from e
    if len(ids) < 64:
        raise UserError(f"{path}: {len(ids)} tokens are too few to measure on; give at least 64", param="text")
    return ids, hashlib.sha256(raw).hexdigest()


def measure(
    reference: Model,
    quantised: Model,
    ids: NDArray[np.int32],
    text_sha256: str,
    progress: Callable[[int, int], None] | None = None,
) -> Quality:
    """ids [T] -> Fidelity over the T tokens, each window's last one without a successor to score."""
    return compare(reference, [quantised], ids, text_sha256, progress)[0]


def compare(
    reference: Model,
    quantised: list[Model],
    ids: NDArray[np.int32],
    text_sha256: str,
    progress: Callable[[int, int], None] | None = None,
) -> list[Quality]:
    """`measure` for several models compared with one reference, which reads the text once."""
    sums = [_Sums([], [], []) for _ in quantised]
    reference_nll = []
    for (p, *qs), target in _distributions((reference, *quantised), ids, progress):
        reference_nll.append(_nll(p, target))
        weight, favourite = np.exp(p), p.argmax(axis=1)
        for q, s in zip(qs, sums):
            s.kl.append((weight * (p - q)).sum(axis=1, dtype=np.float64))
            s.agree.append(favourite == q.argmax(axis=1))
            s.nll.append(_nll(q, target))
    perplexity = float(np.exp(np.concatenate(reference_nll).mean()))
    return [s.report(len(ids), text_sha256, perplexity) for s in sums]


class _Sums(NamedTuple):
    """What one model is measured by, a few tokens at a time."""

    kl: list[NDArray[np.float64]]
    agree: list[NDArray[np.bool_]]
    nll: list[NDArray[np.float32]]

    def report(self, tokens: int, text_sha256: str, reference_perplexity: float) -> Quality:
        divergence = np.concatenate(self.kl)
        return Quality(
            tokens=tokens,
            text_sha256=text_sha256,
            mean_kl=max(0.0, float(divergence.mean())),  # rounding may leave -1e-17
            max_kl=max(0.0, float(divergence.max())),
            top1=float(np.concatenate(self.agree).mean()),
            perplexity=float(np.exp(np.concatenate(self.nll).mean())),
            reference_perplexity=reference_perplexity,
        )


def perplexity(model: Model, ids: NDArray[np.int32], progress: Callable[[int, int], None] | None = None) -> float:
    """ids [T] -> exp of the mean negative log-likelihood, in the windows of `measure`."""
    nll = [_nll(p, target) for (p,), target in _distributions((model,), ids, progress)]
    return float(np.exp(np.concatenate(nll).mean()))


def _distributions(
    models: tuple[Model, ...], ids: NDArray[np.int32], progress: Callable[[int, int], None] | None
) -> Iterator[tuple[list[NDArray[np.float32]], NDArray[np.int32]]]:
    """For some tokens at a time: each model's log-probabilities of the next one [R, V], and what really came next, one
    less than R at the end of a window."""
    for start in range(0, len(ids), WINDOW):
        window = ids[start : start + WINDOW]
        batch = Batch.packed([len(window)])
        hidden = [m.hidden_states(window, batch) for m in models]
        for first in range(0, len(window), _ROWS):
            rows = np.arange(first, min(len(window), first + _ROWS))
            yield [_log_probs(m, h, rows) for m, h in zip(models, hidden)], window[rows[0] + 1 : rows[-1] + 2]
        if progress:
            progress(min(start + WINDOW, len(ids)), len(ids))


def _nll(log_probs: NDArray[np.float32], target: NDArray[np.int32]) -> NDArray[np.float32]:
    return -log_probs[np.arange(len(target)), target]


def _log_probs(model: Model, hidden: Any, rows: NDArray[Any]) -> NDArray[np.float32]:
    """[R, V] float32; summed in float64."""
    logits = decoder.logits(model.weights, model.ops, model.ops.gather_rows(hidden, rows))
    x = np.array(logits, np.float32)
    x -= x.max(axis=1, keepdims=True)
    x -= np.log(np.exp(x).sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    return x
