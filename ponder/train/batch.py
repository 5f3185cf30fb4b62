"""Samples side by side in one `core.Batch`: positions restart, targets stay inside their sequence, nothing is padded
(but see `model.torch.sizes`).

The last id of a sequence predicts nothing and is not computed. Only rows that some weight asks for reach the head. Ids
before the first that counts are the prompt: samples that have it in common, as a group of answers, can share its rows.
"""

from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.core.sample import Floats, Ints, Sample
from ponder.model.torch.sizes import filler

Ids = TypeVar("Ids", bound=Sized)
OF_ROWS = ("targets", "sequence", "ce", "rl", "advantage", "behaviour", "reference")
OF_TAUGHT = ("kl", "teacher_ids", "teacher_logprobs")
WORTH = 0.1  # share of all rows that must be saved: sharing costs a pass over queries, keys and values


@dataclass(frozen=True, eq=False)
class Packed:
    """One micro-batch: T ids to compute, R rows with a target, Q rows with a teacher. All numpy."""

    ids: Ints
    """[T] every sample without its last id, a shared prompt once."""
    batch: Batch
    """Where they belong; `logit_rows` are all rows that are wanted, `rows` and `taught` together."""
    wanted: NDArray[np.int64]
    """The same, those of a shared prompt as often as they are wanted."""
    rows: NDArray[np.int64]
    """[R] places in T whose next id has a weight in ce or rl."""
    targets: Ints
    """[R] that next id."""
    sequence: NDArray[np.int64]
    """[R] the number of the sample, counted from 0."""
    ce: Floats
    """[R] and so the others: the streams of the target ids."""
    rl: Floats
    advantage: Floats
    behaviour: Floats
    reference: Floats | None
    """None when no sample of the batch has one."""
    taught: NDArray[np.int64]
    """[Q] places in T whose next id has a weight in kl."""
    kl: Floats
    """[Q]"""
    teacher_ids: Ints | None
    """[Q, K]; None when the trainer asks the teacher itself."""
    teacher_logprobs: Floats | None

    def part(self, tokens: slice) -> "Packed":
        """What a run of the T ids has of it, its places counted from the first of them; `batch` stays whole."""
        begin, end = tokens.start, tokens.stop
        cut: dict[str, Any] = {"ids": self.ids[tokens]}
        for places, streams in (("wanted", ()), ("rows", OF_ROWS), ("taught", OF_TAUGHT)):
            at: NDArray[np.int64] = getattr(self, places)
            here = (at >= begin) & (at < end)
            cut[places] = at[here] - begin
            cut |= {name: None if (all_ := getattr(self, name)) is None else all_[here] for name in streams}
        return replace(self, **cut)


def pack(samples: Sequence[Sample], *, fill: bool = False, share: bool = False, least: int = 1) -> Packed:
    """fill: a further sequence that nothing is learned from makes the batch one of few sizes; least: of so many ids,
    for processes that share them. share: a prompt that several samples have is computed once, if that saves enough."""
    lengths = [len(s) - 1 for s in samples]

    def shifted(name: str) -> Floats:
        return np.concatenate([s.__dict__[name][1:] for s in samples])

    ce, rl, kl = shifted("ce"), shifted("rl"), shifted("kl")
    rows, taught = np.flatnonzero((ce > 0) | (rl > 0)), np.flatnonzero(kl > 0)
    shared = shared_prompts(samples) if share else None
    row = np.arange(sum(lengths)) if shared is None else shared  # of each place
    first = np.unique(row, return_index=True)[1]
    extra = max(filler(len(first)) if fill else 0, least - len(first))
    wanted = row[np.union1d(rows, taught)]
    batch = replace(
        Batch.packed([*lengths, extra] if extra else lengths), logit_rows=np.unique(wanted).astype(np.int32)
    )
    if shared is not None:
        batch = replace(batch, shared=np.append(shared, len(first) + np.arange(extra)).astype(np.int32))
        batch = replace(batch, positions=batch.positions[batch.first_places()])
    teacher_ids, teacher_logprobs = _teacher(samples)
    return Packed(
        ids=np.append(np.concatenate([s.ids[:-1] for s in samples])[first], np.zeros(extra, np.int32)),
        batch=batch,
        wanted=wanted,
        rows=row[rows],
        targets=np.concatenate([s.ids[1:] for s in samples])[rows],
        sequence=np.repeat(np.arange(len(samples)), lengths)[rows],
        ce=ce[rows],
        rl=rl[rows],
        advantage=shifted("advantage")[rows],
        behaviour=shifted("behaviour")[rows],
        reference=_reference(samples, rows),
        taught=row[taught],
        kl=kl[taught],
        teacher_ids=teacher_ids,
        teacher_logprobs=teacher_logprobs,
    )


def shared_prompts(samples: Sequence[Sample]) -> NDArray[np.int64] | None:
    """The row of each id that is computed, if equal prompts are computed once; None where that is not worth it."""
    known: dict[bytes, int] = {}
    parts: list[NDArray[np.int64]] = []
    rows = 0
    for s in samples:
        prompt = len(prompt_of(s))
        begin = known.setdefault(prompt_of(s).tobytes(), rows)
        rows += prompt if begin == rows else 0
        own = len(s) - 1 - prompt
        parts += [np.arange(begin, begin + prompt), np.arange(rows, rows + own)]
        rows += own
    places = np.concatenate(parts)
    return places if rows <= (1 - WORTH) * len(places) else None


def prompt_of(sample: Sample) -> Ints:
    """Its ids before the first that counts, 1 or more: nothing predicts the first id."""
    return sample.ids[: np.flatnonzero(sample.ce + sample.rl + sample.kl)[0]]


def in_order(sequences: Sequence[Ids], max_tokens: int) -> Iterator[list[Ids]]:
    """Neighbours that have at most `max_tokens` ids together; one that has more is alone."""
    part: list[Ids] = []
    for sequence in sequences:
        if part and sum(map(len, part)) + len(sequence) > max_tokens:
            yield part
            part = []
        part.append(sequence)
    if part:
        yield part


def micro_batches(samples: Sequence[Sample], max_tokens: int) -> list[list[Sample]]:
    """The samples of a step in as few lists of at most `max_tokens` ids as first-fit finds, longest first, those with
    one prompt behind each other: they share it within a list."""
    longest = max(len(s) for s in samples)
    if longest > max_tokens:
        raise UserError(
            f"a sample has {longest} ids and a micro-batch holds {max_tokens}: raise max_tokens or cut the data",
            param="max_tokens",
        )
    groups: dict[bytes, list[Sample]] = {}
    for sample in sorted(samples, key=len, reverse=True):
        groups.setdefault(prompt_of(sample).tobytes(), []).append(sample)
    bins: list[list[Sample]] = []
    free: list[int] = []
    for sample in chain.from_iterable(groups.values()):
        at = next((i for i, room in enumerate(free) if room >= len(sample)), len(bins))
        if at == len(bins):
            bins.append([])
            free.append(max_tokens)
        bins[at].append(sample)
        free[at] -= len(sample)
    return bins


def check(samples: Sequence[Sample], vocab_size: int, positions: int) -> None:
    """What the model cannot take is said before the first step."""
    for n, sample in enumerate(samples):
        if sample.ids.max() >= vocab_size:
            raise UserError(
                f"sample {n} has the id {sample.ids.max()}, the model's vocabulary ends at {vocab_size - 1}: "
                "the data was made with another tokenizer",
                param="vocab_size",
            )
        if len(sample) - 1 > positions:  # the last id is only predicted
            raise UserError(
                f"sample {n} has {len(sample)} ids, the model has {positions} positions",
                param="max_position_embeddings",
            )


def _reference(samples: Sequence[Sample], rows: NDArray[np.int64]) -> Floats | None:
    missing = [s.reference is None for s in samples if s.rl.any()]
    if all(missing):
        return None
    if any(missing):
        raise UserError("some samples have log-probs of a reference policy and some not", param="reference")
    return np.concatenate([(s.ce * 0 if s.reference is None else s.reference)[1:] for s in samples])[rows]


def _teacher(samples: Sequence[Sample]) -> tuple[Ints | None, Floats | None]:
    taught = [s for s in samples if s.kl.any()]
    widths = {0 if s.teacher_ids is None else s.teacher_ids.shape[1] for s in taught}
    if len(widths) > 1:
        raise UserError(
            f"the teacher's top K must be the same in all samples of a batch, found {sorted(widths)} (0 is none)",
            param="teacher",
        )
    if not taught or widths == {0}:
        return None, None
    pairs = [
        (s.teacher_ids[s.kl > 0], s.teacher_logprobs[s.kl > 0])
        for s in taught
        if s.teacher_ids is not None and s.teacher_logprobs is not None
    ]
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
