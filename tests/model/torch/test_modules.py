"""The nn.Module: one graph a layer, few dispatches, HF names, weights handed over as views."""

from collections import Counter
from pathlib import Path
from typing import Any

import hf_oracle as oracle
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch.utils._python_dispatch import TorchDispatchMode

from ponder.core.batch import Batch
from ponder.kernels.native import NativeOps
from ponder.kernels.ops import Step
from ponder.model.config import PRESETS, ModelConfig
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.torch.modules import Decoder
from ponder.model.torch.ops import TorchOps
from ponder.model.weights.build import build, random_checkpoint

DENSE = PRESETS["tiny"]
MOE = replace(PRESETS["tiny-moe"], num_experts=128, num_experts_per_tok=8)
BATCHES = {"1x512": [512], "64x8": [8] * 64}


def decoder(config: ModelConfig, *, recompute: bool = False) -> Decoder:
    return Decoder(build(random_checkpoint(config, noisy=True), TorchOps(), "f32"), recompute=recompute)


def step_and_input(model: Decoder, lengths: list[int]) -> tuple[Step, torch.Tensor]:
    batch = Batch.packed(lengths)
    h = torch.randn(sum(lengths), model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    return model.ops.prepare(batch, *model.rope.rows(batch)), h.requires_grad_()


class Dispatches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ops[str(func)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@pytest.mark.parametrize("config", [DENSE, MOE], ids=["dense", "moe of 128"])
def test_a_layer_dispatches_few_operations(config: ModelConfig, lengths: list[int]) -> None:
    model = decoder(config)
    step, h = step_and_input(model, lengths)
    with Dispatches() as seen:
        model.layers[0](h, step)[0].sum().backward()
    assert 20 < seen.ops.total() <= 300, seen.ops.most_common(20)


@pytest.mark.parametrize("config", [DENSE, MOE], ids=["dense", "moe of 128"])
def test_a_layer_compiles_to_one_graph(config: ModelConfig) -> None:
    model = decoder(config)
    for lengths in ([512], [8] * 64, [100, 8, 30, 200]):
        torch._dynamo.reset()
        step, h = step_and_input(model, lengths)
        explained = torch._dynamo.explain(model.layers[0])(h, step)
        assert explained.graph_count == 1 and explained.graph_break_count == 0, explained.break_reasons


def test_a_compiled_layer_computes_the_same() -> None:
    model = decoder(DENSE)
    step, h = step_and_input(model, [30, 8, 100])
    want, _ = model.layers[0](h, step)
    grads = torch.autograd.grad(want.square().sum(), [h, *model.layers[0].parameters()])
    compiled = torch.compile(model.layers[0], backend="aot_eager", fullgraph=True)
    got, _ = compiled(h, step)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    again = torch.autograd.grad(got.square().sum(), [h, *model.layers[0].parameters()])
    torch.testing.assert_close(again, grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["dense-tied", "moe-mixed", "qwen2-untied"])
def test_state_dict_has_the_names_of_transformers(name: str, tmp_path: Path) -> None:
    hf = oracle.save(name, tmp_path)
    model = Decoder(load(tmp_path, ops="torch"))
    shapes = {key: tuple(w.shape) for key, w in hf.state_dict().items()}
    if model.config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    assert {key: tuple(w.shape) for key, w in model.state_dict().items()} == shapes
    for key, weight in model.state_dict().items():
        torch.testing.assert_close(weight, hf.state_dict()[key], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["dense-tied", "moe"])
def test_targets_get_the_log_probabilities_of_transformers(name: str, tmp_path: Path) -> None:
    hf = oracle.save(name, tmp_path)
    seqs = oracle.sequences(40, 23)
    model = Decoder(load(tmp_path, ops="torch"))
    ids = np.array([*seqs[0], *seqs[1]], np.int32)
    logprob, entropy, scores = model(ids, Batch.packed([40, 23]), np.roll(ids, -1))
    for at, seq in ((0, seqs[0]), (40, seqs[1])):
        want = torch.from_numpy(oracle.hf_logits(hf, seq)).log_softmax(-1)
        rows = slice(at, at + len(seq) - 1)
        torch.testing.assert_close(logprob[rows], want[torch.arange(len(seq) - 1), seq[1:]], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(entropy[rows], -(want.exp() * want).sum(-1)[:-1], rtol=1e-4, atol=1e-4)
    assert [s.shape for s in scores] == [(63, 8)] * (3 if name == "moe" else 0)


@pytest.mark.parametrize("config", [DENSE, PRESETS["tiny-moe"]], ids=["dense", "moe"])
def test_recomputing_changes_no_gradient(config: ModelConfig) -> None:
    ids, batch = np.arange(40, dtype=np.int32), Batch.packed([25, 15])
    grads = []
    for recompute in (False, True):
        model = decoder(config, recompute=recompute)
        model(ids, batch, np.roll(ids, 1))[0].sum().backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize("config", [DENSE, PRESETS["tiny-moe"]], ids=["dense", "moe"])
def test_an_engine_sees_every_change_of_the_weights(config: ModelConfig, tmp_path: Path) -> None:
    """No copy: in float32 the native matrices, vectors and experts are views of the parameters."""
    model = decoder(config)
    native = build(model.checkpoint(), NativeOps())
    ids, batch = np.arange(40, dtype=np.int32), Batch.packed([40])
    before = native.forward(ids, batch)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    after = native.forward(ids, batch)
    save_hf(tmp_path, model.checkpoint())
    np.testing.assert_array_equal(after, load(tmp_path).forward(ids, batch))
    assert np.abs(after - before).max() > 1e-3
