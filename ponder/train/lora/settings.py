"""`lora = { rank = 16, alpha = 32 }` in a stage: its weights stay, and two thin factors beside each matrix learn."""

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.model.torch.low_rank import ROUTER, TARGETS
from ponder.model.torch.modules import Decoder


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rank: int = 16
    alpha: float | None = None
    """What is added counts alpha / rank; twice the rank if it is not said."""
    targets: tuple[str, ...] = TARGETS
    """Ends of the names of matrices; all linear ones of the layers, experts included."""
    router: bool = False
    """Whether the router of a mixture of experts learns, too."""

    def __post_init__(self) -> None:
        if self.rank < 1 or not (self.alpha is None or self.alpha > 0):
            raise UserError(f"rank is 1 or more and alpha above 0, got {self.rank} and {self.alpha}", param="lora")
        if unknown := [name for name in self.targets if name not in TARGETS]:
            raise UserError(f"no matrix is called {unknown[0]!r}; there are {', '.join(TARGETS)}", param="targets")
        if ("gate_proj" in self.targets) != ("up_proj" in self.targets):
            raise UserError("gate_proj and up_proj go together: name both in targets, or neither", param="targets")
        if not self.targets and not self.router:
            raise UserError("targets names no matrix: an adapter without effect", param="targets")

    @property
    def scaled(self) -> float:
        """alpha"""
        return 2.0 * self.rank if self.alpha is None else self.alpha

    def apply(self, decoder: Decoder, seed: int) -> list[str]:
        """Names of the matrices that have factors now. Raises UserError if there are none."""
        if self.rank > (width := decoder.config.hidden_size):
            raise UserError(
                f"rank = {self.rank} is more than the model is wide ({width}): such factors are larger than the "
                "matrices beside them",
                param="rank",
            )
        targets = (*self.targets, ROUTER) if self.router else self.targets
        found = decoder.freeze(targets, self.rank, self.scaled, seed)
        if not found:
            raise UserError(f"the model has no matrix called {' or '.join(targets)}: an adapter without effect",
                            param="targets")  # fmt: skip
        return found
