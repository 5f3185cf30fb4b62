"""`ponder bench`: how fast a model is here, how much memory it takes, and how far that is from what the machine allows.

ponder bench
ponder bench --random qwen3:0.6b --int4 --only decode1,prefill512
ponder bench --random tiny:layers=8,hidden=256,vocab=8192 --only decode1 --json
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ponder.cli import options
from ponder.cli.benchmark.cases import Row, parse_cases, run_case, shares
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.cli.benchmark.cases import Case
    from ponder.engine.llm import LLM
    from ponder.engine.scheduling.runner import ModelRunner

CASES = "decode1,decode8,decode16,prefill512,prefill2048,prefix2048,ttft,perplexity,golden"
DESCRIPTION = "Measure speed and memory."
NOTES = f"""\
decodeN      ids a second when N requests are answered at once, all together; decodeN@C: each after C ids
prefillN     prompt ids a second of a prompt of N new ids, and the seconds to its first id
prefixN      the same when all but the last 16 ids are in the cache from an earlier request
ttft         seconds to the first id of a short question
load         seconds from the start of a fresh process to its first id, the first time, from disk, and warm
perplexity   on the text of `ponder quantize` (a real model only): garbage would show here
golden       of three plain questions, how many get the right answer (a real model only)
Each is the median of --rounds rounds after one to warm up. "% of bandwidth" compares the bytes that a decode step must
read with what the memory of this machine was measured to give, "% of compute" the operations of a prefill with what
the CPU's best instruction for such weights was measured to do, both right before and after the case. Peak memory
counts mapped weights too.
--random NAME is a released name, `tiny` or `tiny-moe`, a config.json, or a name with some numbers changed:
  --random tiny:layers=8,hidden=256,vocab=8192                                 a small model
  --random qwen3:0.6b:layers=24,experts=64,top_k=4,expert_width=384            a mixture of experts
Default: --only {CASES}
"""
TITLES = {
    "tokens_per_s": "tok/s", "first_id_s": "s to first id", "ms_per_step": "ms a step", "read_gb_per_s": "GB/s",
    "bandwidth_gb_per_s": "GB/s at most", "percent_of_bandwidth": "% of bandwidth", "tera_ops_per_s": "Tops/s",
    "compute_tera_ops_per_s": "Tops/s at most", "percent_of_compute": "% of compute",
    "perplexity": "perplexity", "right_of_3": "right of 3", "first_start_s": "s the first time",
    "cold_start_s": "s from disk", "warm_start_s": "s warm", "warm_loaded_s": "s warm until loaded",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="name, folder or .gguf file (default: as `run`)")
    parser.add_argument("--random", metavar="NAME", help="random weights in the shape of a released model instead")
    parser.add_argument("--only", default=CASES, metavar="CASES", help="comma-separated measurements")
    parser.add_argument("--context", type=int, metavar="N", help="ids before a decode (default: 512, many streams 128)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_load_flags(parser)
    parser.set_defaults(speculation="off")  # the speed of every id, not of lucky guesses on random ones
    short = parser.add_mutually_exclusive_group()
    for dtype in ("int4", "int8", "bf16"):
        short.add_argument(f"--{dtype}", action="store_const", const=dtype, dest="short", help=f"--dtype {dtype}")


def run(args: argparse.Namespace) -> int:
    if args.short and args.dtype not in ("auto", args.short):
        raise UserError(f"--{args.short} and --dtype {args.dtype} contradict each other", param="dtype")
    args.dtype = args.short or args.dtype
    if args.context is not None and args.context < 1:
        raise UserError("--context must be 1 or more", param="context")
    cases = parse_cases(args.only, args.context)
    if args.rounds < 1:
        raise UserError("--rounds must be 1 or more", param="rounds")
    if args.random and args.model:
        raise UserError("give either MODEL or --random, not both", param="random")
    report = measure_all(cases, args)
    if args.json:
        print(json.dumps(report))
        return 0
    for key, value in report.items():
        if not isinstance(value, dict):
            print(f"{key.replace('_', ' '):22} {value}")
    for key, row in report["results"].items():
        print(f"{key:22} " + ", ".join(f"{value:,.4g} {TITLES[unit]}" for unit, value in row.items()))
    return 0


def measure_all(cases: list["Case"], args: argparse.Namespace) -> dict[str, Any]:
    from ponder.cli.benchmark import measure, roofline
    from ponder.kernels import native

    results = {case.name: load_case(args) for case in cases if case.kind == "load"}
    start = time.perf_counter()
    with open_bench(args) as llm:
        loaded = time.perf_counter() - start
        runner = model_runner(llm)
        model = runner.model
        after_load = measure.peak_memory()
        limits, peak = [roofline.measure(model)], 0  # measured around each case: they move while a machine is shared
        for case in cases:
            if case.kind == "load" or (case.kind in ("perplexity", "golden") and args.random):
                continue
            print(f"measuring {case.name} ...", file=sys.stderr, flush=True)
            measure.forget_peak()
            row = run_case(case, llm, model, args.rounds, runner.kv_dtype)
            peak = max(peak, measure.peak_memory())
            limits.append(roofline.measure(model))
            results[case.name] = shares(row, roofline.middle(limits[-2:]))
        best = roofline.middle(limits)
        return {
            "model": args.random or llm.profile.name,
            "dtype": "bf16" if args.random and args.dtype == "auto" else args.dtype,
            "kv_dtype": runner.kv_dtype,
            "isa": native.isa(),
            "threads": native.threads(),
            "bandwidth_gb_per_s": round(best.bandwidth / 1e9, 1),
            "compute_tera_ops_per_s": round(best.compute / 1e12, 2),
            "weights_mb": round(model.nbytes / 1e6, 1),
            "kv_bytes_per_token": model.config.kv_bytes_per_token(runner.kv_dtype),
            "load_s": round(loaded, 2),
            "loading_peak_mb": round(after_load / 1e6),
            "peak_mb": round(peak / 1e6),
            "results": {case.name: results[case.name] for case in cases if case.name in results},
        }


def open_bench(args: argparse.Namespace) -> "LLM":
    from ponder.cli.benchmark.random_model import random_model
    from ponder.cli.loading import open_llm
    from ponder.engine.llm import LLM

    return LLM(random_model(args.random, args)) if args.random else open_llm(args.model, args)


def load_case(args: argparse.Namespace) -> Row:
    """A random model is written to a folder first: loading is what is measured."""
    from ponder.cli.benchmark import load
    from ponder.cli.benchmark.random_model import save_random
    from ponder.cli.loading import load_fields
    from ponder.cli.model_files import locate

    if not args.random:
        return load.measure(locate(args.model), load_fields(args), args.rounds)
    with tempfile.TemporaryDirectory(prefix="ponder-bench-") as root:
        return load.measure(save_random(args.random, Path(root) / "model"), load_fields(args), args.rounds)


def model_runner(llm: "LLM") -> "ModelRunner":
    from ponder.engine.scheduling.runner import ModelRunner

    runner = llm.engine.runner
    if not isinstance(runner, ModelRunner):
        raise UserError("a scripted model has no speed of its own")
    return runner
