"""Where the first number that is none came from: run after steps that had to be skipped, slow and exact."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ponder.model.model import Model
from ponder.train.batch import Packed


def first_broken(model: Model, parameters: Mapping[str, Tensor], packed: Packed) -> str:
    """In words: a weight, else a value of the forward pass, else a gradient, each the first in its order."""
    for name, p in parameters.items():
        if not p.isfinite().all():
            return f"the weight {name} is not finite"
    watch = _Watch(model)
    with torch.no_grad():
        replace(model, ops=watch).forward(packed.ids, packed.batch)
    if watch.found:
        return watch.found
    for name, p in reversed(list(parameters.items())):  # a backward pass comes to the last one first
        if p.grad is not None and not p.grad.isfinite().all():
            return f"the gradient of {name} is not finite"
    name = max(parameters, key=lambda n: 0.0 if (g := parameters[n].grad) is None else float(g.norm()))
    return f"every number is finite; the longest gradient is that of {name}"


class _Watch:
    """An op set that looks at everything the real one gives back."""

    def __init__(self, model: Model) -> None:
        self.found = ""
        self._ops = model.ops
        self._names = {id(w): name for name, w in model.weights.items()}
        self._last = "the ids"

    def __getattr__(self, op: str) -> Any:
        """Only called for what this class does not define: every op."""
        real: Callable[..., Any] = getattr(self._ops, op)

        def watched(*args: Any) -> Any:
            self._last = next((self._names[id(a)] for a in args if id(a) in self._names), self._last)
            out = real(*args)
            if not self.found and isinstance(out, Tensor) and out.is_floating_point() and not out.isfinite().all():
                self.found = f"the result of {op} at or after {self._last} is not finite"
            return out

        return watched
