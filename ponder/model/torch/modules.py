"""The model as an nn.Module: it holds Parameters under HF names and calls the one forward pass, nothing else.

    model = Decoder(load("Qwen3-0.6B", dtype="f32", ops="torch"))
    logprob, entropy, _ = model(ids, Batch.packed([300, 212]), targets)

Each layer is a module of its own, the unit of `compile()`, of activation checkpointing and of `fully_shard`. The names
of `state_dict()` are those of transformers; `checkpoint()` gives the names of files, as views of the parameters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from ponder.core.batch import Batch
from ponder.kernels.ops import Step
from ponder.kernels.tensor import Tensor as Stored
from ponder.model import decoder
from ponder.model.config import ModelConfig
from ponder.model.model import Model
from ponder.model.torch.experts import separate
from ponder.model.torch.low_rank import A, B, LowRank, factors, low_rank
from ponder.model.torch.ops import TorchOps
from ponder.model.torch.split import Split
from ponder.model.weights.build import memory_checkpoint
from ponder.model.weights.checkpoint import Checkpoint


class Layer(nn.Module):
    """One decoder layer; weights: by their names inside it."""

    def __init__(self, index: int, config: ModelConfig, ops: TorchOps, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.index, self.config, self.ops = index, config, ops
        self.scale = 0.0  # of the factors, once there are some
        self.split: Split | None = None  # once several processes share it
        for name, weight in weights.items():
            _register(self, name, weight)

    def forward(self, h: Tensor, step: Step) -> tuple[Tensor, Tensor | None]:
        weights: dict[str, Any] = low_rank(dict(self.named_parameters()), self.scale)
        if self.split is not None:
            weights = self.split.of({n: w.to_local() if isinstance(w, DTensor) else w for n, w in weights.items()})
        return decoder.layer(weights, "", self.index, self.config, self.ops, h, step)


class Decoder(nn.Module):
    """A torch model from `load` or `build`, whose weights become Parameters without a copy.

    recompute: keep only each layer's input for the backward pass, and compute the layer a second time there.
    """

    def __init__(self, model: Model, *, recompute: bool = False) -> None:
        super().__init__()
        assert isinstance(model.ops, TorchOps), "load the model with ops='torch'"
        self.config, self.ops, self.rope, self.recompute = model.config, model.ops, model.rope, recompute
        self.generation_config = model.generation_config
        self.merged: dict[str, Tensor] = {}  # where `merge` puts its sums, which never move
        layers: list[dict[str, Tensor]] = [{} for _ in range(model.config.num_hidden_layers)]
        for name, weight in model.weights.items():
            if name.startswith("model.layers."):
                _, _, index, inner = name.split(".", 3)
                layers[int(index)][inner] = weight
            elif name != decoder.HEAD or not model.config.tie_word_embeddings:
                _register(self, name, weight)
        self.get_submodule("model").layers = nn.ModuleList(
            Layer(i, self.config, self.ops, weights) for i, weights in enumerate(layers)
        )

    def freeze(self, targets: Sequence[str], rank: int, alpha: float, seed: int) -> list[str]:
        """From now on only LoRA factors learn, of the matrices with these names; which those are."""
        self.requires_grad_(False)
        generator, found = torch.Generator().manual_seed(seed), []
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            layer.scale = alpha / rank
            found += [f"model.layers.{i}.{name}" for name in factors(layer, targets, rank, generator)]
        return found

    @torch.no_grad()
    def merge(self) -> None:
        """W + scale B A into the arrays that `checkpoint` and `files` tell of; nothing to do without factors."""
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            for name, weight in low_rank(dict(layer.named_parameters()), layer.scale).items():
                if isinstance(weight, LowRank):
                    place = self.merged.setdefault(f"model.layers.{i}.{name}", torch.empty_like(weight.weight))
                    place.copy_(weight.merged())

    @torch.no_grad()
    def fold(self) -> None:
        """W + scale B A takes the place of W, without a second array, and the factors are gone: nothing learns on."""
        for layer in self.layers:
            assert isinstance(layer, Layer)
            for name, weight in low_rank(dict(layer.named_parameters()), layer.scale).items():
                if isinstance(weight, LowRank):
                    weight.weight.copy_(weight.merged())
                    path, _, last = name.rpartition(".")
                    for factor in (last + A, last + B):
                        delattr(layer.get_submodule(path), factor)

    @property
    def layers(self) -> nn.ModuleList:
        layers = self.get_submodule("model.layers")
        assert isinstance(layers, nn.ModuleList)
        return layers

    @property
    def head(self) -> Tensor:
        """[V, D]; the embedding, if they are tied."""
        return self.get_parameter(decoder.EMBED if self.config.tie_word_embeddings else decoder.HEAD)

    def forward(self, ids: Any, batch: Batch, targets: Any) -> tuple[Tensor, Tensor, list[Tensor]]:
        """ids [T], targets [R] of batch.logit_rows -> float32 [R] log-probability of each target, [R] entropy, and the
        router scores [T, E] of each layer that has a router."""
        step = self.ops.prepare(batch, *self.rope.rows(batch))
        h, scores = self.hidden_states(ids, step)
        return *self.ops.token_losses(self.ops.gather_rows(h, step.logit_rows), self.head, targets), scores

    def hidden_states(self, ids: Any, step: Step) -> tuple[Tensor, list[Tensor]]:
        """ids [T] -> [T, D] after the final norm, and the router scores."""
        scores: list[Tensor] = []

        def run(
            w: Any, p: str, i: int, config: Any, ops: Any, h: Tensor, step: Step, cache: None
        ) -> tuple[Tensor, None]:
            layer = self.layers[i]
            h, routed = checkpoint(layer, h, step, use_reentrant=False) if self.recompute else layer(h, step)
            if routed is not None:
                scores.append(routed)
            return h, None

        outer = {name: self.get_parameter(name) for name in (decoder.EMBED, decoder.NORM)}
        return decoder.hidden_states(outer, self.config, self.ops, ids, step, run=run), scores

    def checkpoint(self, parameters: Mapping[str, Tensor] | None = None) -> Checkpoint:
        """To save (hf_save) or to build another model from. Float32 and bfloat16 matrices on the CPU are views of the
        parameters, so that an engine built from them sees every later step. parameters: in place of its own."""
        return memory_checkpoint(
            self.config, {name: _stored(w) for name, w in self.files(parameters).items()}, self.generation_config
        )

    def files(self, parameters: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Every parameter by the name that files have, as views; a weight with factors is what `merge` made of it."""
        self.merge()
        named = low_rank(parameters or dict(self.named_parameters()), 0.0)
        return separate({n: self.merged[n] if isinstance(p, LowRank) else p.detach() for n, p in named.items()})


def _stored(weight: Tensor) -> Any:
    """As the rest of Ponder holds it: a numpy vector, or a matrix."""
    weight = weight.cpu()
    if weight.ndim == 1:
        return weight.float().numpy()
    if weight.dtype == torch.bfloat16:
        return Stored("bf16", tuple(weight.shape), weight.view(torch.uint16).numpy())
    return weight.numpy()


def _register(module: nn.Module, name: str, weight: Tensor) -> None:
    """The Parameter `a.b.weight` of a module that grows the modules a and b for it."""
    *path, last = name.split(".")
    for part in path:
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    module.register_parameter(last, nn.Parameter(weight))
