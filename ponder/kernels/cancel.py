"""Leave a run of the native program half-way: any thread sets a flag, the program looks at it between instructions.

    cancelled = CancelFlag()
    model.forward(ids, batch, cache, cancelled)  # raises Cancelled once another thread calls cancelled.set()

An instruction takes milliseconds, a whole run with many ids takes hundreds of them.
"""

from ponder.kernels.extension import _native


class Cancelled(Exception):
    """The run was left before its end: no logits, and some of its keys and values are written. To run it again is
    harmless, the same values go to the same places."""


class CancelFlag:
    """A run that was given this is no longer wanted, once it is set; it stays set. `set` takes no lock, so it may be
    called from a destructor."""

    def __init__(self) -> None:
        self.handle = _native.Flag()

    def set(self) -> None:
        self.handle.set()

    def is_set(self) -> bool:
        found: bool = self.handle.is_set()
        return found
