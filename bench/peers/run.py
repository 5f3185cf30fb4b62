"""Ponder and its peers on the same random models, interleaved: `make bench-peers` runs this.

    python bench/peers/run.py [--rounds 4] [--quick] [--long] [--root runs/peers] [--only NAME ...]

A round runs every entrant once, each in a fresh process with the machine to itself, so that a slow minute hits them
all. Every run is one line of ROOT/runs.jsonl; started again, the command goes on where it stopped (--fresh begins
anew). At the end `report.py` writes the medians into bench/results/ and docs/performance.md.
--quick: two rounds of the fast entrants. --long: also one prompt of 32,768 ids, once.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import install
import models
import report

HERE = Path(__file__).parent
DENSE = "decode1,decode8,decode16,prefill512,prefill2048"
FAR, MOE, LONG = "decode1@8192", "decode1,decode16,prefill512", "prefill32768"
TIMEOUT = 900  # seconds of one run


class Entrant(NamedTuple):
    """engine: a worker here, or "ponder". model: its form in ROOT/models. every: it runs in each `every`-th round."""

    table: str
    engine: str
    variant: str
    model: str
    cases: str
    every: int = 1
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.table} {self.engine} {self.variant}"


ENTRANTS = [
    *(Entrant("dense", "ponder", kind, "dense-hf", DENSE) for kind in ("int4", "int8", "bf16")),
    Entrant("dense", "ponder", "int4, bf16 cache", "dense-hf", DENSE, every=2, options=("bf16",)),
    *(Entrant("dense", "llama", kind, f"dense-{kind}.gguf", DENSE) for kind in ("Q4_0", "Q8_0")),
    *(Entrant("dense", "openvino", kind, f"dense-ov-{kind}", DENSE) for kind in ("int4", "int8")),
    Entrant("dense", "vllm", "w8a8", "dense-w8a8", DENSE, every=2),  # starts for a minute
    Entrant("dense", "vllm", "bf16", "dense-hf", DENSE, every=2),
    Entrant("dense", "llama", "BF16", "dense-BF16.gguf", DENSE, every=4),
    Entrant("dense", "transformers", "bf16", "dense-hf", DENSE, every=2),
    Entrant("8k", "ponder", "int4, int8 cache", "dense-hf", FAR, options=("int8",)),
    Entrant("8k", "ponder", "int4, bf16 cache", "dense-hf", FAR, every=4, options=("bf16",)),
    Entrant("8k", "llama", "Q4_0, f16 cache", "dense-Q4_0.gguf", FAR, options=("f16",)),
    Entrant("8k", "llama", "Q4_0, q8_0 cache", "dense-Q4_0.gguf", FAR, every=4, options=("q8_0",)),  # eight minutes
    Entrant("moe", "ponder", "int4", "moe-hf", MOE),
    Entrant("moe", "llama", "Q4_0", "moe-Q4_0.gguf", MOE),
    Entrant("moe", "ponder", "int8", "moe-hf", MOE, every=2),
    Entrant("moe", "llama", "Q8_0", "moe-Q8_0.gguf", MOE, every=2),
    Entrant("moe", "transformers", "bf16", "moe-hf", MOE, every=4),
    Entrant("32k", "ponder", "int4", "dense-hf", LONG, every=1000),
    Entrant("32k", "llama", "Q4_0", "dense-Q4_0.gguf", LONG, every=1000),
]
SLOW = ("vllm", "transformers")


def command(entrant: Entrant, root: Path, threads: int) -> list[str]:
    model = str(models.models(root) / entrant.model)
    if entrant.engine == "ponder":
        words = ["-m", "ponder", "bench", model, "--dtype", entrant.variant.split(",")[0], "--only", entrant.cases]
        kv = ["--kv-dtype", *entrant.options] if entrant.options else []
        return [sys.executable, *words, *kv, "--rounds", "1", "--threads", str(threads), "--json"]
    worker = str(HERE / f"worker_{entrant.engine}.py")
    options = [*entrant.options, str(root / "states")] if entrant.engine == "llama" and entrant.options else []
    return [str(install.python_of(root, entrant.engine)), worker, model, entrant.cases, str(threads), *options]


def run_one(entrant: Entrant, root: Path, threads: int) -> dict[str, Any]:
    """{"result": what the worker printed} or {"error": the end of what it said}."""
    started = time.time()
    row: dict[str, Any] = {"entrant": entrant.name, "started": round(started), "busy": round(os.getloadavg()[0], 1)}
    try:
        done = subprocess.run(command(entrant, root, threads), capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return {**row, "seconds": TIMEOUT, "error": f"no result after {TIMEOUT} s"}
    row["seconds"] = round(time.time() - started, 1)
    if done.returncode:
        return {**row, "error": f"exit code {done.returncode}: {done.stderr[-500:]}"}
    result = json.loads(done.stdout.splitlines()[-1])
    if entrant.engine == "ponder":
        rates = {case: round(values["tokens_per_s"], 2) for case, values in result["results"].items()}
        peak = max(result["peak_mb"], result["loading_peak_mb"])
        result = {"load_s": result["load_s"], "peak_mb": peak, "results": rates}
    return {**row, "result": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="two rounds without vLLM and transformers")
    parser.add_argument("--long", action="store_true", help="also a prompt of 32,768 ids")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="entrants whose name contains a word")
    parser.add_argument("--fresh", action="store_true", help="forget the runs so far")
    parser.add_argument("--root", type=Path, default=install.ROOT, help="where environments, models and runs are kept")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    root = args.root.resolve()
    entrants = [e for e in ENTRANTS if (args.long or e.table != "32k") and not (args.quick and e.engine in SLOW)]
    entrants = [e for e in entrants if not args.only or any(word in e.name for word in args.only)]
    for engine in sorted({e.engine for e in entrants} - {"ponder"}):
        install.install(root, engine)
    for name in sorted({e.model.split("-")[0] for e in entrants}):
        models.make(root, name)
    (root / "states").mkdir(exist_ok=True)
    log = root / "runs.jsonl"
    if args.fresh:
        log.unlink(missing_ok=True)
    done = {(row["round"], row["entrant"]) for row in report.read(log) if "result" in row}  # failures are tried again
    for number in range(2 if args.quick else args.rounds):
        for entrant in entrants:
            if number % entrant.every or (number, entrant.name) in done:
                continue
            row = {"round": number, **run_one(entrant, root, args.threads)}
            with log.open("a") as f:
                f.write(json.dumps(row) + "\n")
            told = row["result"]["results"] if "result" in row else row["error"].strip().splitlines()[-1:]
            print(f"round {number}  {entrant.name:32} {row['seconds']:6.1f} s  {told}", flush=True)
    report.write(log)


if __name__ == "__main__":
    main()
