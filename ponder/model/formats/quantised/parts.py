"""The tensors that together are one quantised matrix, checked as they are taken: a file may hold anything."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import LoadError
from ponder.kernels.tensor import Floats, from_bf16
from ponder.model.formats.safetensors_file import StoredTensor


class Parts:
    """base: their common name, without the last part. nbytes: of those taken so far."""

    def __init__(self, stored: Mapping[str, StoredTensor], base: str, where: str) -> None:
        self.base, self.name, self.nbytes = base, f"{where}: {base}", 0
        self.used: set[str] = set()
        self._stored = stored

    def has(self, part: str) -> bool:
        return f"{self.base}.{part}" in self._stored

    def take(self, part: str, *types: str, dims: int = 2) -> NDArray[Any]:
        """The data as it lies. Raises LoadError when it is not there or is something else."""
        name = f"{self.base}.{part}"
        if (found := self._stored.get(name)) is None:
            raise LoadError(f"{self.name}.{part} is missing, which this form has beside the others")
        if found.type not in types or found.data.ndim != dims or 0 in found.data.shape:
            shape = list(found.data.shape)
            raise self.odd(part, f"is {found.type} {shape}, not {' or '.join(types)} of {dims} dimensions")
        self.used.add(name)
        self.nbytes += found.data.nbytes
        return found.data

    def whole(self, type_: str) -> NDArray[Any]:
        """The tensor that has the common name itself."""
        found = self._stored[self.base]
        if found.type != type_:
            raise LoadError(f"{self.name} is {found.type}, not {type_}")
        self.used.add(self.base)
        self.nbytes += found.data.nbytes
        return found.data

    def floats(self, part: str, dims: int = 2) -> Floats:
        """As float32, whichever float type it has: scales, offsets, tables."""
        data = self.take(part, "F16", "BF16", "F32", dims=dims)
        return from_bf16(data) if data.dtype == np.uint16 else data.astype(np.float32)

    def scale(self, part: str) -> Floats:
        """Scales as [N, G], [N, 1] or [1, 1], however many dimensions the file gives them."""
        found = self._stored.get(f"{self.base}.{part}")
        dims = 2 if found is None else found.data.ndim
        if dims > 2:
            raise self.odd(part, f"has {dims} dimensions")
        data = self.floats(part, dims)
        return data if dims == 2 else data.reshape(-1, 1)

    def without(self, *parts: str) -> None:
        """What is there and concerns activations only: Ponder has its own way with those."""
        self.used |= {f"{self.base}.{part}" for part in parts if self.has(part)}

    def odd(self, part: str, what: str) -> LoadError:
        return LoadError(f"{self.name}.{part} {what}")

    def expect(self, part: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        if found != wanted:
            raise self.odd(part, f"has shape {list(found)}, which should be {list(wanted)}")
