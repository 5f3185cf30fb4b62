"""`ponder plan [MODEL]`: the memory a model takes here or on GPUs, and the speed that bandwidth allows. Loads nothing.

ponder plan qwen3:8b --streams 4
ponder plan qwen3:235b-a22b --gpus 4xH20
ponder plan recipes/qwen3-8b.toml --gpus 64xH100       what pre-training by a recipe takes: plan_training.py
"""

import argparse
import json
from typing import TYPE_CHECKING

from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.model.capacity import Capacity, Machine
    from ponder.model.weights.checkpoint import Checkpoint

DESCRIPTION = "Tell whether a model fits a machine, and how fast its memory lets it be."
NOTES = """\
Without MODEL: every released size. Without --dtype: every precision that the machine's engine has. A released name is
planned from its known shape and needs no download.

On a CPU: weights as Ponder keeps them; this machine's free memory and measured bandwidth, unless --memory and
--bandwidth are given. On GPUs: weights, keys and values divided as vLLM's tensor parallelism does; 10 % of each card
stays free; numbers are those of one card. int8 keys and values and FP8 weights follow the formulas of docs/plan.md.

With a recipe (RECIPE.toml) in place of MODEL: bytes on each GPU and days of every stage of pre-training; what does not
fit is refused, with what would.

The first line is for one conversation with 2,048 tokens on this machine: the largest model that writes at least 5
tokens a second. The bandwidth is the best of several probes, so that a busy moment does not count.

tok/s is a limit, all streams together and every context full: what reading the weights and the cache once a step
takes. Computing, waiting and talking between GPUs come on top.
"""


SHORT = 2048  # tokens of a usual conversation
READABLE = 5.0  # tokens a second, as fast as people read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="name, folder, .gguf file or a recipe (default: all released)"
    )
    parser.add_argument("--context", type=int, metavar="N", help="tokens of each stream (default: the native context)")
    parser.add_argument("--streams", type=int, default=1, metavar="K", help="requests at the same time (default: 1)")
    parser.add_argument("--dtype", choices=("auto", "f32", "bf16", "int8", "int4", "fp8"), help="of the weights")
    parser.add_argument("--kv", choices=("auto", "f32", "bf16", "int8", "fp8"), default="auto",
                        help="of keys and values; auto is int8 with int4 weights on a CPU, bf16 otherwise "
                        "(default: auto)")  # fmt: skip
    parser.add_argument("--gpus", metavar="N[xNAME]", help="on so many GPUs: 8xH100 (default: on this machine's CPU)")
    parser.add_argument("--gpu", metavar="NAME", help="their kind: H20, H100, H200, A100, L40S, RTX 4090, ...")
    parser.add_argument("--memory", type=float, metavar="GB", help="of the machine, or of each GPU")
    parser.add_argument("--bandwidth", type=float, metavar="GB/S", help="of the machine's memory, or of each GPU's")
    parser.add_argument("--json", action="store_true", help="machine-readable, in bytes")


def run(args: argparse.Namespace) -> int:
    if args.model is not None and args.model.endswith(".toml"):
        from ponder.cli.commands.models import plan_training

        return plan_training.run(args)
    here = machine(args)
    plans, refused = [], []
    for name, checkpoint in models(args.model):
        for dtype in dtypes(args.dtype, checkpoint, here):
            try:
                plans.append(make(checkpoint, name, here, dtype, args))
            except UserError as e:  # one of several that cannot be is an answer, too
                refused.append((name, dtype, e))
    if not plans:
        raise refused[0][2]
    if args.json:
        import msgspec

        reasons = [{"model": name, "dtype": dtype, "why": str(why)} for name, dtype, why in refused]
        print(json.dumps({"plans": msgspec.to_builtins(plans), "refused": reasons}))
        return 0
    if len(plans) + len(refused) == 1:
        for name, value in details(plans[0]):
            print(f"{name:22} {value}")
        return 0
    if not here.gpus and args.streams == 1:
        print(sentence(args.model, here, args.dtype))
    caches = " or ".join(sorted({p.kv for p in plans}))
    print(f"{where(here)}, {args.streams} x {plans_context(plans)} tokens, {caches} keys and values")
    for row in table(plans):
        print(" ".join(row).rstrip())
    for name, dtype, why in refused:
        print(f"{name} {dtype}: {why}")
    return 0


def machine(args: argparse.Namespace) -> "Machine":
    """What is planned for. Only what was not given is measured."""
    from msgspec.structs import replace

    from ponder.model.capacity import Machine, gpus

    given = {key: value * 1e9 for key in ("memory", "bandwidth") if (value := vars(args)[key]) is not None}
    if args.gpu or args.gpus is not None:
        count, _, name = (args.gpus or "1").partition("x")
        if not (args.gpu or name):
            raise UserError("--gpus needs the kind: --gpus 4xH20, or --gpu H20, for example", param="gpu")
        if not count.isdigit():
            raise UserError(f"--gpus is a number, or 4xH20, not {args.gpus!r}", param="gpus")
        return replace(gpus(args.gpu or name, int(count)), **given)
    if "memory" not in given:
        from ponder.engine.scheduling.memory import free_memory

        free = free_memory()
        if free is None:
            raise UserError("this system does not tell its free memory; give --memory GB", param="memory")
        given["memory"] = free
    if "bandwidth" not in given:
        from ponder.kernels.cpu import steady_bandwidth

        given["bandwidth"] = steady_bandwidth()
    return Machine("CPU", **given)


def models(text: str | None) -> "list[tuple[str, Checkpoint]]":
    """The model that is named, from its files if they are here; or every released size."""
    from ponder.model.capacity import SIZES, released
    from ponder.model.hub.registry import resolve
    from ponder.model.hub.store import here
    from ponder.model.load import open_checkpoint

    if text is None:
        return [(name, checkpoint) for name in SIZES if (checkpoint := released(name)) is not None]
    name = resolve(text)
    if name.kind == "scripted":
        raise UserError(f"{text} is a script, not a model with weights")
    if (path := here(name)) is not None:
        return [(name.text, open_checkpoint(path))]
    if (shape := released(name.text)) is not None:
        return [(name.text, shape)]
    raise UserError(f"{text} is not downloaded, and its shape is not known: ponder pull {text}")


def dtypes(wanted: str | None, checkpoint: "Checkpoint", here: "Machine") -> tuple[str, ...]:
    from ponder.model.capacity import GPU_DTYPES

    if wanted:
        return (wanted,)
    if here.gpus:
        return GPU_DTYPES
    matrices = {s.auto for s in checkpoint.tensors.values() if len(s.shape) == 2}
    return ("bf16", "int8", "int4") if matrices == {"bf16"} else ("auto", "bf16", "int8", "int4")


def make(checkpoint: "Checkpoint", name: str, here: "Machine", dtype: str, args: argparse.Namespace) -> "Capacity":
    from ponder.model.capacity import estimate

    context = checkpoint.config.native_context if args.context is None else args.context
    return estimate(checkpoint, here, dtype, args.kv, context=context, streams=args.streams, name=name)


def where(here: "Machine") -> str:
    from ponder.cli.terminal.progress import amount

    name = f"{here.gpus} x {here.name}" if here.gpus else here.name
    return f"{name}: {amount(here.memory)}, {amount(here.bandwidth)}/s"


def sentence(model: str | None, here: "Machine", dtype: str | None) -> str:
    """What to take on this machine for one conversation: the largest that can be read as it comes."""
    from ponder.cli.announce import speed
    from ponder.cli.terminal.progress import amount
    from ponder.model.capacity import estimate

    fitting = []
    for name, checkpoint in models(model):
        context = min(SHORT, checkpoint.config.native_context)
        for kind in dtypes(dtype, checkpoint, here):
            plan = estimate(checkpoint, here, kind, "auto", context=context, streams=1, name=name)
            fitting += [plan] if plan.fits else []
    if not fitting:
        return f"Nothing of this fits into the {amount(here.memory)} that are free."
    readable = [plan for plan in fitting if plan.rate >= READABLE]
    best = readable[-1] if readable else max(fitting, key=lambda plan: plan.rate)
    return (
        f"Take {best.model} as {best.dtype}: at most {speed(best)} tokens a second at a context of {best.context:,}, "
        f"in {amount(best.needed)} of the {amount(here.memory)} that are free."
    )


def plans_context(plans: "list[Capacity]") -> str:
    return " or ".join(f"{n:,}" for n in sorted({p.context for p in plans}))


def table(plans: "list[Capacity]") -> list[tuple[str, ...]]:
    """One line a plan, in columns."""
    from ponder.cli.terminal.progress import amount

    head = ("model", "dtype", "weights", "cache", "working", "needed", "fits", "cache has room for", "tok/s at most")
    rows = [
        (p.model, p.dtype, *map(amount, (p.weights, p.cache, p.activations, p.needed)), verdict(p), f"{p.room:,}",
         f"{p.rate:,.1f}" if p.fits else "-")
        for p in plans
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [tuple(f"{cell:{w + 1}}" for cell, w in zip(row, widths)) for row in [head, *rows]]


def verdict(p: "Capacity") -> str:
    return "yes" if p.fits else "no"


def details(p: "Capacity") -> list[tuple[str, str]]:
    from ponder.cli.terminal.progress import amount

    each = " on each GPU" if p.machine.gpus > 1 else ""
    experts = f", {p.experts_read:.1f} experts a layer" if p.experts_read else ""
    return [
        ("model", p.model),
        ("machine", where(p.machine)),
        ("weights", f"{amount(p.weights)}{each} ({p.dtype})"),
        *(
            (f"  {part.rpartition(' ')[0]}", f"{amount(n)} {part.rpartition(' ')[2]}")
            for part, n in p.weights_by.items()
        ),
        ("cache", f"{amount(p.cache)}: {p.streams} x {p.context:,} tokens of {amount(p.cache_per_token)} ({p.kv})"),
        ("activations", f"{amount(p.activations)} at most"),
        ("needed", f"{amount(p.needed)} of {amount(p.memory)} that may be used"),
        ("fits", verdict(p)),
        ("cache has room for", f"{p.room:,} tokens: {p.room // p.context} streams of {p.context:,}"),
        ("read for a step", f"{amount(p.step_weights)} of weights{experts}, {amount(p.step_cache)} of cache"),
        ("tokens a second", f"at most {p.rate:,.1f} at full context, {p.rate_empty:,.1f} with an empty cache"),
    ]
