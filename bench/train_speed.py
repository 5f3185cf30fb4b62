"""Training speed of the torch op set beside transformers' Qwen3: the same weights, ids, number format and optimiser.

    python bench/train_speed.py                              # all shapes in float32
    python bench/train_speed.py --shapes 7m-4x512 --dtype bf16 --compile --threads 1

A step is a forward pass, the loss of the next id, the backward pass, and torch's fused AdamW. The sides take turns, so
that other work on the machine meets them alike; the third side is nothing but the matrix products of the step (inputs
and outputs of the same shapes, forward and both gradients), which no implementation can be faster than. Each number is
the median of the rounds, in ids a second of wall time and of CPU time; ratios are medians of the ratios of one round.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from transformers import AutoModelForCausalLM

from ponder.core.batch import Batch
from ponder.model.config import PRESETS, ModelConfig
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.torch.modules import Decoder
from ponder.model.weights.build import random_checkpoint

Step = Callable[[], float]
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def dense(d: int, layers: int, heads: int, kv: int, head_dim: int, mlp: int, words: int) -> ModelConfig:
    return replace(
        PRESETS["tiny"], hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
        head_dim=head_dim, intermediate_size=mlp, vocab_size=words, max_position_embeddings=2048,
        tie_word_embeddings=True,
    )  # fmt: skip


def mixture(d: int, layers: int, experts: int, chosen: int, width: int, words: int) -> ModelConfig:
    return replace(
        PRESETS["tiny-moe"], hidden_size=d, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, num_experts=experts, num_experts_per_tok=chosen, moe_intermediate_size=width, vocab_size=words,
        max_position_embeddings=2048,
    )  # fmt: skip


SMALL, LITTLE = dense(64, 3, 2, 1, 32, 192, 512), dense(128, 6, 4, 2, 32, 384, 1024)
SEVEN, SIXTY = dense(256, 8, 8, 4, 32, 768, 4096), dense(512, 14, 8, 4, 64, 1536, 32768)
MOE = mixture(128, 4, 32, 4, 64, 1024)
SHAPES: dict[str, tuple[ModelConfig, int, int]] = {
    "0.2m-64x64": (SMALL, 64, 64),
    "1.2m-64x64": (LITTLE, 64, 64),
    "1.2m-16x256": (LITTLE, 16, 256),
    "7m-4x512": (SEVEN, 4, 512),
    "60m-2x512": (SIXTY, 2, 512),
    "moe-64x64": (MOE, 64, 64),
    "moe-8x512": (MOE, 8, 512),
}


def transformers_step(folder: Path, ids: torch.Tensor, dtype: str, compiled: bool) -> Step:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=TYPES[dtype], attn_implementation="sdpa")
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    if compiled:
        model.compile()

    def step() -> float:
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    return step


def ponder_step(folder: Path, ids: torch.Tensor, dtype: str, compiled: bool) -> Step:
    model = Decoder(load(folder, dtype=dtype, ops="torch"))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    if compiled:
        for layer in model.layers:
            layer.compile()
    b, s = ids.shape
    rows = np.arange(b * s, dtype=np.int32).reshape(b, s)
    batch = Batch.packed([s] * b)
    batch = Batch(batch.positions, batch.starts, rows[:, :-1].ravel(), batch.rope_factor)
    flat, targets = ids.flatten().numpy(), ids[:, 1:].flatten().numpy()

    def step() -> float:
        logprob, _, _ = model(flat, batch, targets)
        loss = -logprob.mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    return step


def products_step(config: ModelConfig, sequences: int, length: int, dtype: str) -> Step:
    """Every matrix product of a step; experts as equal shares of one batched product, attention with half of the keys,
    which is what causal attention needs on average."""
    tokens = sequences * length
    products = []
    for name, shape in {**config.shapes(), "head": (config.vocab_size, config.hidden_size)}.items():
        if len(shape) == 1 or name == "model.embed_tokens.weight" or ".experts." in name:
            continue
        products.append((torch.randn(tokens, shape[1]), torch.randn(shape), torch.randn(tokens, shape[0])))
    if config.num_experts:
        n, (d, i) = config.num_experts, (config.hidden_size, config.moe_intermediate_size)
        share = tokens * config.num_experts_per_tok // n
        one = [torch.randn(n, share, d), torch.randn(n, 2 * i, d), torch.randn(n, share, 2 * i)]
        two = [torch.randn(n, share, i), torch.randn(n, d, i), torch.randn(n, share, d)]
        products += [tuple(one), tuple(two)] * config.num_hidden_layers
    b, c = sequences * config.num_attention_heads, config.head_dim
    scores = (torch.randn(b, length, c), torch.randn(b, length // 2, c), torch.randn(b, length, length // 2))
    products += [scores] * 2 * config.num_hidden_layers  # queries and keys; probabilities and values: the same shapes
    products = [tuple(a.to(TYPES[dtype]) for a in each) for each in products]

    def step() -> float:
        for x, w, g in products:
            x @ w.mT, g @ w, g.mT @ x
        return 0.0

    return step


def measure(name: str, dtype: str, compiled: bool, rounds: int, sides: list[str]) -> dict[str, object]:
    config, b, s = SHAPES[name]
    torch.manual_seed(0)
    ids = torch.randint(0, config.vocab_size, (b, s))
    with tempfile.TemporaryDirectory() as folder:
        save_hf(folder, random_checkpoint(config), dtype)
        steps: dict[str, Step] = {}
        if "transformers" in sides:
            steps["transformers"] = transformers_step(Path(folder), ids, dtype, compiled)
        if "ponder" in sides:
            steps["ponder"] = ponder_step(Path(folder), ids, dtype, compiled)
    if "products" in sides:
        steps["products"] = products_step(config, b, s, dtype)
    first = {side: step() for side, step in steps.items()}  # the first compiles, allocates, and has the same loss
    wall: dict[str, list[float]] = {side: [] for side in steps}
    cpu: dict[str, list[float]] = {side: [] for side in steps}
    for _ in range(rounds):
        for side, step in steps.items():
            w, c = time.perf_counter(), time.process_time()
            step()
            wall[side].append(time.perf_counter() - w)
            cpu[side].append(time.process_time() - c)
    row: dict[str, object] = {
        "shape": name, "parameters": config.parameter_counts().total, "dtype": dtype, "compiled": compiled,
        "threads": torch.get_num_threads(), "first_loss": {side: round(v, 5) for side, v in first.items()},
        "ids_s": {side: round(b * s / statistics.median(wall[side])) for side in steps},
        "ids_cpu_s": {side: round(b * s / statistics.median(cpu[side])) for side in steps},
    }  # fmt: skip
    for other, key in (("transformers", "over_transformers"), ("products", "of_products")):
        if {other, "ponder"} <= steps.keys():
            pairs = [[o / p for o, p in zip(t[other], t["ponder"])] for t in (wall, cpu)]
            row[key] = [round(statistics.median(each), 2) for each in pairs]  # wall, CPU
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--dtype", default="f32", choices=TYPES)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sides", default="transformers,ponder,products")
    parser.add_argument("--json", help="append each row to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.shapes.split(","):
        row = measure(name, args.dtype, args.compile, args.rounds, args.sides.split(","))
        print(json.dumps(row), flush=True)
        if args.json:
            with Path(args.json).open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
