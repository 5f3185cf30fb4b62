"""Gradients of the torch op set against transformers': one batch of two sequences, every parameter."""

from pathlib import Path

import hf_oracle as oracle
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ponder.core.batch import Batch
from ponder.model.load import load
from ponder.model.torch.experts import separate

SEQS = oracle.sequences(40, 23, seed=3)


def _hf_gradients(name: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """Gradients under the hub's names: transformers holds experts as stacks."""
    hf = oracle.make(name)
    loss = sum(
        F.cross_entropy(hf(torch.tensor([s])).logits[0, :-1], torch.tensor(s[1:]), reduction="sum") for s in SEQS
    )
    loss.backward()
    out: dict[str, torch.Tensor] = {}
    for key, parameter in hf.named_parameters():
        assert parameter.grad is not None, key
        prefix, _, last = key.rpartition(".")
        if last == "gate_up_proj":
            for e, stack in enumerate(parameter.grad):
                out[f"{prefix}.{e}.gate_proj.weight"], out[f"{prefix}.{e}.up_proj.weight"] = stack.chunk(2)
        elif last == "down_proj":
            out |= {f"{prefix}.{e}.down_proj.weight": g for e, g in enumerate(parameter.grad)}
        else:
            out[key] = parameter.grad
    return hf, out


@pytest.mark.parametrize("name", oracle.MODELS)
def test_gradients(name: str, tmp_path: Path) -> None:
    hf, wanted = _hf_gradients(name)
    hf.save_pretrained(tmp_path)
    model = load(tmp_path, ops="torch")
    for weight in model.weights.values():
        weight.requires_grad_()
    logits = model.forward(np.array(SEQS[0] + SEQS[1], np.int32), Batch.packed([len(s) for s in SEQS]))
    a, b = logits.split([len(s) for s in SEQS])
    targets = torch.tensor(SEQS[0][1:] + SEQS[1][1:])
    F.cross_entropy(torch.cat([a[:-1], b[:-1]]), targets, reduction="sum").backward()
    got = separate({key: weight.grad for key, weight in model.weights.items()})
    if model.config.tie_word_embeddings:
        assert got.pop("lm_head.weight") is got["model.embed_tokens.weight"]
    assert got.keys() == wanted.keys()
    for key, gradient in wanted.items():
        mine = got[key]
        if mine is None:  # an expert that no token chose
            assert ".experts." in key and not gradient.any(), key
            continue
        assert (mine - gradient).abs().max() <= 1e-4 * gradient.abs().max(), key
