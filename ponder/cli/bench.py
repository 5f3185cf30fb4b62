"""`ponder bench`: how fast a model is here, how much memory it takes, and how far that is from what the memory allows.

ponder bench
ponder bench --random qwen3:0.6b --dtype int4 --only decode1,prefill512
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ponder.cli import options
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.engine.llm import LLM

CASES = "decode1,decode8,decode16,prefill512,prefill2048,perplexity"
DESCRIPTION = "Measure speed and memory."
NOTES = f"""\
decodeN     ids a second when N requests are answered at once, all together
prefillN    prompt ids a second of a prompt of N ids, and the seconds to its first id
perplexity  on the text of `ponder quantize` (a real model only): garbage would show here
Each is the median of --rounds rounds after one to warm up. "of the bandwidth" compares the bytes that a decode step of
one stream must read with what this machine was measured to read; peak memory counts mapped weights too.
Default: --only {CASES}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="name, folder or .gguf file (default: as `run`)")
    parser.add_argument("--random", metavar="NAME", help="random weights in the shape of a released model instead")
    parser.add_argument("--only", default=CASES, metavar="CASES", help="comma-separated measurements")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_load_flags(parser)


def run(args: argparse.Namespace) -> int:
    cases = parse_cases(args.only)
    if args.rounds < 1:
        raise UserError("--rounds must be 1 or more", param="rounds")
    if args.random and args.model:
        raise UserError("give either MODEL or --random, not both", param="random")
    with model_name(args) as name:
        report = measure_all(name, cases, args)
    if args.json:
        print(json.dumps(report))
        return 0
    for key, value in report.items():
        if not isinstance(value, dict):
            print(f"{key:22} {value}")
    for key, row in report["results"].items():
        print(f"{key:22} " + ", ".join(f"{value:,.4g} {unit.replace('_', ' ')}" for unit, value in row.items()))
    return 0


def parse_cases(only: str) -> list[tuple[str, int]]:
    """ "decode8,perplexity" -> [("decode", 8), ("perplexity", 0)]. Raises UserError."""
    cases = []
    for word in only.split(","):
        match = re.fullmatch(r"(decode|prefill)([1-9][0-9]{0,5})|(perplexity)", word.strip())
        if not match:
            raise UserError(f"--only {word}: decodeN, prefillN or perplexity, separated by commas", param="only")
        cases.append((match[1] or match[3], int(match[2] or 0)))
    return cases


@contextmanager
def model_name(args: argparse.Namespace) -> Iterator[str | None]:
    """What to load: the model named, or a folder of random weights that lives as long as the measurement."""
    if not args.random:
        yield args.model
        return
    from ponder.cli.files import counted
    from ponder.cli.progress import progress
    from ponder.model.config import PRESETS
    from ponder.model.hf_save import save_hf
    from ponder.model.weights import random_checkpoint
    from ponder.text import tokenizer_files
    from ponder.text.tokenizer import Tokenizer

    if args.random not in PRESETS:
        raise UserError(f"--random {args.random}: choose one of {', '.join(PRESETS)}", param="random")
    with tempfile.TemporaryDirectory(prefix="ponder-bench-") as root, progress("making random weights", "B") as tick:
        folder = Path(root) / args.random.replace(":", "-")
        checkpoint = counted(random_checkpoint(at_full_size(PRESETS[args.random])), tick)
        save_hf(folder, checkpoint, "bf16" if args.dtype == "auto" else args.dtype)
        tokenizer_files.save(Tokenizer.packaged(), folder)
        yield str(folder)


def at_full_size(config: Any) -> Any:
    """The tiny presets have 256 rows and 512 positions; the tokenizer has 151,669 ids."""
    from msgspec.structs import replace

    positions = max(config.max_position_embeddings, 4096)
    return replace(config, vocab_size=max(config.vocab_size, 151936), max_position_embeddings=positions)


def measure_all(name: str | None, cases: list[tuple[str, int]], args: argparse.Namespace) -> dict[str, Any]:
    from ponder.cli import measure
    from ponder.cli.loading import open_llm
    from ponder.kernels import native

    bandwidth = measure.read_bandwidth()
    measure.forget_peak()
    start = time.perf_counter()
    with open_llm(name, args) as llm:
        loaded = time.perf_counter() - start
        model = runner_model(llm)
        after_load = measure.peak_memory()
        bytes_per_id = measure.bytes_per_id(model)
        results = {}
        for kind, size in cases:
            if kind == "perplexity" and args.random:
                continue
            print(f"measuring {kind}{size or ''} ...", file=sys.stderr, flush=True)
            if kind == "decode":
                rate = rounds(partial(measure.decode, llm, size), args.rounds)
                results[f"decode{size}"] = {"tokens/s": rate}
                if size == 1:
                    results["decode1"] |= {"GB/s": rate * bytes_per_id / 1e9,
                                           "%_of_the_bandwidth": 100 * rate * bytes_per_id / bandwidth}  # fmt: skip
            elif kind == "prefill":
                seconds = rounds(partial(measure.prefill, llm, size), args.rounds)
                results[f"prefill{size}"] = {"tokens/s": size / seconds, "s_to_the_first_token": seconds}
            else:
                results["perplexity"] = {"perplexity": perplexity(llm, model)}
        return {
            "model": args.random or llm.profile.name,
            "dtype": args.dtype,
            "kernels": f"{native.isa()}, {native.threads()} threads",
            "read bandwidth GB/s": round(bandwidth / 1e9, 1),
            "weights MB": round(model.nbytes / 1e6),
            "load s": round(loaded, 2),
            "peak MB after load": round(after_load / 1e6),
            "peak MB": round(measure.peak_memory() / 1e6),
            "results": results,
        }


def rounds(once: Callable[[int], float], count: int) -> float:
    """once(seed) -> a number; the median of `count` after one to warm up."""
    return median([once(seed) for seed in range(count + 1)][1:])


def runner_model(llm: "LLM") -> Any:
    from ponder.engine.runner import ModelRunner

    runner = llm.engine.runner
    if not isinstance(runner, ModelRunner):
        raise UserError("a scripted model has no speed of its own")
    return runner.model


def perplexity(llm: "LLM", model: Any) -> float:
    from ponder.cli.progress import progress
    from ponder.model import fidelity

    ids, _ = fidelity.read_text(llm.tokenizer)
    with progress("reading", "tokens") as tick:
        return fidelity.perplexity(model, ids, tick)
