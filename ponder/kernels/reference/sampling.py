"""Drawing the next id, in numpy: what `sampling.py` does, readable; its tests compare the two.

First the rule of the sequence changes the row of logits (`constrain`): repetition, presence and frequency penalty,
bias, mask, forbidden ids. Then temperature, top-k, top-p, min-p in the order of transformers, and one number:
logits / temperature -> keep the top_k largest (ties at the edge all stay) -> keep the most likely ids until their sum
reaches top_p, at least one -> drop ids less likely than min_p times the likeliest -> renormalise.

Nothing sorts the whole vocabulary: `_largest` finds the k largest through group maxima.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ponder.kernels.sampling import UNUSABLE, Floats, Penalties, Sampled, SamplingRule

_GROUP = 64


def sample(logits: Floats, rule: SamplingRule, position: int) -> Sampled:
    """One id for this position of the sequence. logits: [V], unchanged."""
    row = logits.copy()
    constrain(row, rule)
    u = uniform(rule.seed, rule.choice, position) if rule.temperature else 0.0
    id_ = sample_at(row, rule.temperature, rule.top_k, rule.top_p, rule.min_p, u)
    return Sampled(id_) if rule.logprobs is None else logprobs(logits, id_, rule.logprobs)


def constrain(logits: Floats, rule: SamplingRule) -> None:
    """Change logits [V] in place as the rule says."""
    logits[rule.vocab :] = -np.inf
    bent = rule.penalties is not None or rule.mask is not None or bool(rule.bias)
    if rule.exempt is not None:
        if bent and np.isfinite(logits.max()) and int(logits.argmax()) == rule.exempt:
            logits[:] = -np.inf  # the model wants to think: rules of the answer must not talk it out of that
            logits[rule.exempt] = 0
            return
        own = logits[rule.exempt]
    if rule.penalties is not None:
        penalise(logits, rule.penalties)
    logits[list(rule.bias)] += np.array(list(rule.bias.values()), np.float32)
    if rule.mask is not None:
        allowed = np.unpackbits(rule.mask, count=rule.vocab, bitorder="little").view(np.bool_)
        logits[: rule.vocab][~allowed] = -np.inf
    if rule.exempt is not None:
        logits[rule.exempt] = own
    logits[list(rule.forbidden)] = -np.inf
    if rule.fallback and not np.isfinite(logits.max()):
        logits[list(rule.fallback)] = 0  # never an empty mask (SO-2)


def penalise(logits: Floats, penalties: Penalties) -> None:
    """Repetition, then presence and frequency penalty."""
    counts = Counter(penalties.added)
    if penalties.repetition != 1:
        ids = np.array(sorted(i for i in {*penalties.prompt, *counts} if i < len(logits)), np.int64)
        values = logits[ids]
        logits[ids] = np.where(values > 0, values / penalties.repetition, values * penalties.repetition)
    if counts:
        times = np.fromiter(counts.values(), np.float32, len(counts))
        logits[list(counts)] -= penalties.presence + penalties.frequency * times


def uniform(seed: int, choice: int, position: int) -> float:
    """A number in [0, 1) from Philox-4x64 with key (seed, choice) and counter (position, 0, 0, 0)."""
    key = np.array([seed % (1 << 64), choice], np.uint64)  # a plain list would pass through float64
    bits = np.random.Philox(key=key, counter=np.array([position, 0, 0, 0], np.uint64))
    return (int(bits.random_raw()) >> 11) * 2.0**-53


def sample_at(logits: Floats, temperature: float, top_k: int, top_p: float, min_p: float, u: float) -> int:
    """One id for u in [0, 1). logits: [V], -inf is forbidden. Temperature 0: the largest, lowest id on a tie."""
    if temperature == 0:
        best = int(np.argmax(logits))
        assert np.isfinite(logits[best]), UNUSABLE
        return best
    ids, probs = distribution(logits, temperature, top_k, top_p, min_p)
    cumulative = np.cumsum(probs)
    at = int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))
    return int(ids[min(at, len(ids) - 1)])


def distribution(
    logits: Floats, temperature: float, top_k: int, top_p: float, min_p: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(ids, probabilities) after all filters, for temperature > 0: most likely first, lower id first on a tie; in id
    order when nothing is filtered."""
    peak = float(logits.max())
    assert np.isfinite(peak), UNUSABLE
    if top_k and top_k < len(logits):
        ids, probs = _ranked(logits, _largest(logits, top_k), peak, temperature)
        if top_p < 1:
            ids, probs = _nucleus(ids, probs, top_p * probs.sum())
    elif top_p < 1:
        ids, probs = _open_nucleus(logits, peak, temperature, top_p)
    elif min_p > 0:
        least = peak + temperature * np.log(min_p) - 1e-3
        ids, probs = _ranked(logits, np.flatnonzero(logits >= least), peak, temperature)
    else:  # nothing is filtered, so nothing needs ranking: id order
        ids = np.arange(len(logits))
        probs = np.exp((logits.astype(np.float64) - peak) / temperature)
    if min_p > 0:
        keep = int(np.count_nonzero(probs >= min_p * probs[0]))
        ids, probs = ids[:keep], probs[:keep]
    return ids, probs / probs.sum()


def logprobs(logits: Floats, chosen: int, top: int) -> Sampled:
    """The chosen id with its log-probability and the `top` likeliest ids. logits: [V] as the model gave them."""
    peak = float(logits.max())
    norm = peak + float(np.log(np.exp(logits - peak, dtype=np.float32).sum(dtype=np.float64)))
    best: tuple[tuple[int, float], ...] = ()
    if top:
        ids = _largest(logits, top)
        order = np.lexsort((ids, -logits[ids]))[:top]
        best = tuple((int(i), float(logits[i]) - norm) for i in ids[order])
    return Sampled(chosen, float(logits[chosen]) - norm, best)


def _largest(logits: Floats, k: int) -> NDArray[np.int64]:
    """Ids of the k largest logits and of all that tie with the k-th, ascending; forbidden ids (-inf) never.

    Split in groups of 64 (every V/64-th element, which numpy reduces fastest), the k-th largest of the group maxima
    is a lower bound for the k-th largest element; few ids pass it.
    """
    whole = len(logits) // _GROUP * _GROUP
    if k < whole // _GROUP:
        maxima = logits[:whole].reshape(_GROUP, -1).max(axis=0)  # [V / 64]
        bound = np.partition(maxima, len(maxima) - k)[len(maxima) - k]
        found = np.flatnonzero(logits >= bound if bound > -np.inf else logits > -np.inf)
    else:
        found = np.flatnonzero(logits > -np.inf)
    if len(found) > k:
        values = logits[found]
        found = found[values >= np.partition(values, len(values) - k)[len(values) - k]]
    return found


def _ranked(
    logits: Floats, ids: NDArray[np.int64], peak: float, temperature: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """These ids, most likely first, with weights exp((logit - peak) / temperature); weights of 0 leave."""
    values = logits[ids].astype(np.float64)
    order = np.lexsort((ids, -values))
    weights = np.exp((values[order] - peak) / temperature)
    keep = int(np.count_nonzero(weights))
    return ids[order][:keep], weights[:keep]


def _nucleus(
    ids: NDArray[np.int64], weights: NDArray[np.float64], mass: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The shortest head of a ranked list whose weights reach `mass`; at least one id."""
    keep = int(np.searchsorted(np.cumsum(weights), mass, side="left")) + 1
    return ids[:keep], weights[:keep]


def _open_nucleus(
    logits: Floats, peak: float, temperature: float, top_p: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Top-p without top-k: rank only as many ids as the mass needs."""
    total = float(np.exp((logits.astype(np.float64) - peak) / temperature).sum())
    k = 256
    while True:
        ids, weights = _ranked(logits, _largest(logits, k), peak, temperature)
        if k >= len(logits) or weights.sum() >= top_p * total:
            return _nucleus(ids, weights, top_p * total)
        k *= 8
