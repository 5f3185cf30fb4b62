"""What each quantisation of a model costs, one line each, beside bf16 of the same model.

    python bench/fidelity_table.py qwen2.5-coder:0.5b int8-32 int4-32-plain int4-32-linear int4-32 int4-32-text int4-64

A row is KIND-GROUP. int4 alone is what loading does: searched scales on the grid NORMAL; `-linear` is searched on
-8..7, `-plain` rounded to nearest there; `-text` is calibrated on --calibration (by default Python's own language
reference and library sources: never the text that is measured on). `+v_proj+layers.0.` and the like keep matrices with
such a name in int8; `+head` has the head in int4 too, `+exact` computes all logits with the int8 head. `ROW@int8`,
also `bf16@int8`: with such a cache of keys and values instead of none.
--dither SEED: a GGUF file's weights lie on a grid that flatters or hurts a second quantisation; noise of that seed,
uniform within the file's own rounding step, makes them continuous again, for reference and rows alike.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ponder.cli.model_files import locate
from ponder.core.batch import Batch
from ponder.kernels.native import NativeOps
from ponder.kernels.packing.pack import from_rows
from ponder.kernels.tensor import LINEAR, Tensor
from ponder.model.decoder import COARSE, HEAD
from ponder.model.formats.gguf_names import to_hf
from ponder.model.load import open_checkpoint
from ponder.model.model import Model
from ponder.model.quantise.calibrate import calibrated
from ponder.model.quantise.calibration_text import calibration_ids
from ponder.model.quantise.quality import WINDOW, compare, read_text
from ponder.model.weights.build import EMBED, build, in_memory, read
from ponder.model.weights.checkpoint import Checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer


def dithered(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """Noise within the step of the file's own quantisation, on the matrices of the layers."""
    assert checkpoint.gguf is not None, "only GGUF files have a grid of their own"
    types = {place[0]: info.type for info in checkpoint.gguf.tensors.values() if (place := to_hf(info.name))}
    rng = np.random.default_rng(seed)
    tensors = dict(checkpoint.tensors)
    for name, source in tensors.items():
        if "_proj.weight" not in name:
            continue
        values = read(source, "f32")
        assert isinstance(values, np.ndarray)
        x = values.reshape(-1, 32)
        top = np.abs(x).max(axis=1, keepdims=True)
        span = x.max(axis=1, keepdims=True) - x.min(axis=1, keepdims=True)
        step = {"Q4_K": span / 15, "Q5_0": top / 16, "Q6_K": top / 32, "Q8_0": top / 127}[types[name]]
        noise = (rng.random(x.shape, np.float32) - np.float32(0.5)) * step
        tensors[name] = in_memory((x + noise).reshape(values.shape).astype(np.float32))
    return replace(checkpoint, tensors=tensors)


BLOCKS = np.arange(WINDOW // 32, dtype=np.int32)[None]  # of one sequence


class Cached:
    """As much of a Model as `compare` uses, its keys and values in a cache of that kind."""

    def __init__(self, model: Model, kind: str) -> None:
        self.model, self.ops, self.weights, self.nbytes = model, model.ops, model.weights, model.nbytes
        self.cache = model.new_cache(WINDOW // 32, 32, kind)

    def hidden_states(self, ids: np.ndarray, batch: Batch) -> Any:
        return self.model.hidden_states(ids, replace(batch, block_tables=BLOCKS), self.cache)


def build_row(row: str, checkpoint: Checkpoint, ids: np.ndarray) -> Model | Cached:
    weights, _, cache = row.partition("@")
    model = build_weights(weights, checkpoint, ids)
    return Cached(model, cache) if cache else model


def build_weights(row: str, checkpoint: Checkpoint, ids: np.ndarray) -> Model:
    if row == "bf16":
        return build(checkpoint, NativeOps(), "bf16")
    row, *in_eight = row.split("+")
    kind, size, *how = row.split("-")
    assert kind in ("int8", "int4") and how in ([], ["plain"], ["linear"], ["text"]), row
    group, tensors = int(size), dict(checkpoint.tensors)
    tuned = calibrated(checkpoint, ids, group).tensors if how == ["text"] else {}
    for name, source in tensors.items():
        if name.endswith("_proj.weight"):
            if kind == "int8" or any(f".{part}" in name for part in in_eight):
                tensors[name] = in_memory(read(source, "int8", group))
            elif how in (["plain"], ["linear"]):
                values = np.asarray(read(source, "f32"))
                tensors[name] = in_memory(
                    Tensor.quantise(values, "int4", group)
                    if how == ["plain"]
                    else from_rows([values], source.shape, "int4", group, grid=LINEAR)  # type: ignore[arg-type]
                )
            else:
                tensors[name] = in_memory(read(tuned.get(name, source), "int4", group))
    tensors[HEAD] = in_memory(read(tensors.get(HEAD, tensors[EMBED]), "int4" if "head" in in_eight else "int8", group))
    model = build(replace(checkpoint, tensors=tensors), NativeOps(), "auto")
    if "exact" in in_eight:
        coarse = model.weights.pop(COARSE)
        model = replace(model, nbytes=model.nbytes - coarse.nbytes)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rows", nargs="+")
    parser.add_argument("--tokens", type=int, help="only so many of the text")
    parser.add_argument("--windows", type=int, default=16, help="of 512 tokens, to calibrate on")
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--dither", type=int)
    args = parser.parse_args()
    path = locate(args.model)
    checkpoint, tokenizer = open_checkpoint(path), Tokenizer.from_path(path)
    if args.dither is not None:
        checkpoint = dithered(checkpoint, args.dither)
    ids, sha256 = read_text(tokenizer)
    reference = build(checkpoint, NativeOps(), "bf16")
    models = []
    for row in args.rows:
        start = time.monotonic()
        models.append(build_row(row, checkpoint, calibration_ids(tokenizer, args.calibration, args.windows)))
        print(f"{row}: built in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
    for row, model, f in zip(args.rows, models, compare(reference, models, ids[: args.tokens], sha256)):
        layers = sum(w.nbytes for n, w in model.weights.items() if "_proj.weight" in n)
        print(json.dumps({
            "row": row, "mean_kl": round(f.mean_kl, 4), "max_kl": round(f.max_kl, 2), "top1": round(100 * f.top1, 1),
            "perplexity": round(f.perplexity, 2), "reference": round(f.reference_perplexity, 2),
            "layers_mb": round(layers / 1e6, 1), "mb": round(model.nbytes / 1e6, 1),
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
