"""How the processes of a run share a model: which of its dimensions are divided among how many of them.

    [layout]
    gpus = "512xH100"      # what `ponder plan` reckons with; a run takes the processes that it is started in
    tensor = 2             # processes that share the heads and the MLP of each layer
    expert = 8             # processes that share the experts of each layer; each has whole ones
    context = 2            # processes that share the tokens of a micro-batch
    recompute = true       # keep each layer's input only, and compute the layer again on the way back

What is left, processes / (tensor * context), shares the samples of a step, and by FSDP2 all that is not divided
otherwise. None of this changes what is learned, so it is no part of what names a stage's folder.
"""

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.model.config import ModelConfig


class Layout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    gpus: str = ""
    tensor: int = 1
    expert: int = 1
    context: int = 1
    recompute: bool = False

    def __post_init__(self) -> None:
        if min(self.tensor, self.expert, self.context) < 1:
            raise UserError("tensor, expert and context are numbers of processes: 1 or more", param="layout")

    @property
    def alike(self) -> int:
        """Processes that learn from the same samples."""
        return self.tensor * self.context

    def check(self, config: ModelConfig, processes: int) -> None:
        """Raises UserError where so many processes cannot share such a model so."""
        heads, experts = config.num_key_value_heads, config.num_experts
        if heads % self.tensor or (not experts and config.intermediate_size % self.tensor):
            raise UserError(
                f"tensor = {self.tensor} does not divide {heads} heads of keys and an MLP of "
                f"{config.intermediate_size}",
                param="tensor",
            )
        if heads // self.tensor % self.context:
            raise UserError(
                f"context = {self.context} does not divide {heads // self.tensor} heads of keys, which each process "
                "takes a part of",
                param="context",
            )
        if processes % self.alike:
            raise UserError(
                f"tensor * context = {self.alike} does not divide {processes} processes",
                param="tensor" if self.context == 1 else "context",
            )
        if self.expert == 1:
            return
        if not experts or experts % self.expert:
            raise UserError(f"expert = {self.expert} does not divide {experts} experts", param="expert")
        if processes // self.alike % self.expert:
            raise UserError(
                f"expert = {self.expert} does not divide the {processes // self.alike} processes that have samples of "
                "their own",
                param="expert",
            )
