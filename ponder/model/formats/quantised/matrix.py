"""A matrix of any quantised form as a Source: some rows at a time, so that it never exists in float32 whole.

`by_rows`: float32 rows, whatever made them; Ponder's own packing takes over from there. `by_groups`: integers with zero
points and scales for groups of columns, as GPTQ, AWQ and others are underneath. Where Ponder's int4 or int8 hold such
integers and scales, they are taken as they are and nothing is rounded again.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import LoadError, UserError
from ponder.kernels.native import threads
from ponder.kernels.packing.pack import from_rows
from ponder.kernels.tensor import GROUP, LINEAR, Floats, Kind, Tensor, pack_int4
from ponder.model.weights.checkpoint import Source
from ponder.model.weights.finite import all_finite

Made = TypeVar("Made")
Codes = Callable[[int, int], NDArray[np.uint8]]
Rows = Callable[[int, int], Floats]  # first and end -> float32 [end - first, K]

_STEP = 8  # every form can be cut at such rows: AWQ has eight outputs in a word
_CHUNK = 1 << 18  # values at a time: what numpy does with them stays in the processor's cache


def by_rows(name: str, shape: tuple[int, int], nbytes: int, auto: Kind, rows: Rows) -> Source:
    """name: what an error calls it. rows: the exact values; one that is not finite is an error when it is met."""

    def convert(kind: Kind, group: int) -> Tensor:
        try:
            return from_rows(_chunks(name, shape, rows), shape, kind, group)
        except LoadError:
            raise
        except UserError as e:
            raise LoadError(f"{name}: {e}") from e

    return Source(shape, auto, nbytes, lambda: convert("f32", 0).data, convert=convert)


@dataclass(frozen=True)
class Grouped:
    """value[n, k] = (code[n, k] - zero[n, g]) * scale[n, g], where g is the group of column k.

    codes: first and end row -> uint8 [rows, K] of `bits` each. zero, scale: [N, G]. group_of: [K]; None: K / G columns
    in a row share a group.
    """

    shape: tuple[int, int]
    bits: int
    codes: Codes
    zero: NDArray[np.int16]
    scale: Floats
    group_of: NDArray[np.integer[Any]] | None = None

    def rows(self, first: int, end: int) -> Floats:
        values = self.codes(first, end).astype(np.float32)
        zero, scale = self.zero[first:end].astype(np.float32), self.scale[first:end]
        if self.group_of is not None:
            values -= zero[:, self.group_of]
            values *= scale[:, self.group_of]
            return values
        groups = values.reshape(end - first, scale.shape[1], -1)
        groups -= zero[:, :, None]
        groups *= scale[:, :, None]
        return values

    def kind(self) -> Kind | None:
        """The kind of Ponder that holds codes and scales as they are, in groups of GROUP; None: no kind does. uint4's
        offsets are rounded to float16, nothing else is."""
        columns = self.shape[1] // self.scale.shape[1]
        if self.group_of is not None or columns % GROUP or not _halves(self.scale):
            return None
        if self._centred:
            return "int4" if self.bits <= 4 else "int8"
        return "uint4" if self.bits <= 4 else None

    def packed(self, kind: Kind, group: int) -> Tensor:
        """kind: what `kind()` says. group: a part of the columns of a group."""
        n, k = self.shape
        four = kind == "int4"
        data = np.empty((n, k // 2), np.uint8) if four else np.empty((n, k), np.int8)

        def fill(cut: tuple[int, int]) -> None:
            first, end = cut
            if four:
                data[first:end] = pack_int4(self.codes(first, end) + np.uint8(8 - self._half), group)
                return
            zero = self.zero[first:end].astype(np.uint8)
            groups = self.codes(first, end).reshape(end - first, zero.shape[1], -1) - zero[:, :, None]
            data[first:end] = groups.view(np.int8).reshape(end - first, k)

        for _ in _in_order(list(_cuts(n, k)), fill):
            pass
        scale = np.repeat(self.scale.astype(np.float16), k // group // self.scale.shape[1], axis=1)
        return Tensor(kind, self.shape, data, scale, group, LINEAR if four else None)

    @property
    def _half(self) -> int:
        return 1 << self.bits - 1

    @property
    def _centred(self) -> bool:
        return bool((self.zero == self._half).all())


def by_groups(name: str, nbytes: int, matrix: Grouped) -> Source:
    exact, columns = matrix.kind(), matrix.shape[1] // matrix.scale.shape[1]
    if exact == "uint4":
        offset = matrix.scale * -matrix.zero.astype(np.float32)
        return by_codes(name, matrix.shape, nbytes, matrix.codes, matrix.scale, offset, matrix)
    source = by_rows(name, matrix.shape, nbytes, exact or "int8", matrix.rows)
    if exact is None:
        return source
    rounded = source.convert
    assert rounded is not None, "by_rows converts"

    def convert(kind: Kind, group: int) -> Tensor:
        return matrix.packed(kind, group) if kind == exact and columns % group == 0 else rounded(kind, group)

    return Source(matrix.shape, exact, nbytes, partial(convert, exact, GROUP), packed=True, convert=convert)


def by_codes(
    name: str, shape: tuple[int, int], nbytes: int, codes: Codes, scale: Floats, offset: Floats,
    whole: Grouped | None = None,
) -> Source:  # fmt: skip
    """value = code * scale + offset, codes 0..15 and both [N, G], of columns that divide into GROUP: uint4 keeps them.
    whole: the same with zero points, whose sums int8 holds exactly."""
    (n, k), groups = shape, scale.shape[1]

    def rows(first: int, end: int) -> Floats:
        values = codes(first, end).astype(np.float32)
        parts = values.reshape(end - first, groups, -1)
        parts *= scale[first:end, :, None]
        parts += offset[first:end, :, None]
        return values

    if k // groups % GROUP or not (_near_halves(scale) and _near_halves(offset)):
        return by_rows(name, shape, nbytes, "int8", rows)
    source = by_rows(name, shape, nbytes, "uint4", rows if whole is None else whole.rows)
    rounded = source.convert
    assert rounded is not None, "by_rows converts"

    def convert(kind: Kind, group: int) -> Tensor:
        if kind == "int8" and whole is not None and k // groups % group == 0:
            return whole.packed("int8", group)
        return packed() if kind == "uint4" else rounded(kind, group)

    def packed() -> Tensor:
        data = np.empty((n, k // 2), np.uint8)

        def fill(cut: tuple[int, int]) -> None:
            data[slice(*cut)] = pack_int4(codes(*cut), GROUP)

        for _ in _in_order(list(_cuts(n, k)), fill):
            pass
        pairs = np.stack([scale.astype(np.float16), offset.astype(np.float16)], axis=2)
        return Tensor("uint4", shape, data, np.repeat(pairs, k // groups // GROUP, axis=1), GROUP)

    return Source(shape, "uint4", nbytes, source.read, convert=convert, group=GROUP)


def _halves(values: Floats) -> bool:
    """Whether float16 holds them exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array_equal(values.astype(np.float16).astype(np.float32), values) and all_finite(values, "f32")


def _near_halves(values: Floats) -> bool:
    """Whether float16 holds them to its own precision, measured by the largest."""
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.abs(values.astype(np.float16).astype(np.float32) - values).max()
    return bool(wrong <= 2.0**-11 * np.abs(values).max())  # False for NaN


def _cuts(n: int, k: int) -> Iterator[tuple[int, int]]:
    step = max(1, _CHUNK // k // _STEP) * _STEP
    return ((first, min(n, first + step)) for first in range(0, n, step))


def _chunks(name: str, shape: tuple[int, int], rows: Rows) -> Iterator[Floats]:
    """All rows in order."""

    def checked(cut: tuple[int, int]) -> Floats:
        with np.errstate(invalid="ignore", over="ignore"):  # what comes of it is seen below
            values = rows(*cut)
        if not all_finite(values, "f32"):
            raise LoadError(f"{name} holds values that are not finite: the file is damaged")
        return values

    yield from _in_order(list(_cuts(*shape)), checked)


def _in_order(cuts: list[tuple[int, int]], make: Callable[[tuple[int, int]], Made]) -> Iterator[Made]:
    """What is made of each; the next few are made meanwhile by other threads."""
    workers = min(len(cuts), threads())
    if workers < 2:
        yield from map(make, cuts)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for cut in cuts:
            waiting.append(pool.submit(make, cut))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
