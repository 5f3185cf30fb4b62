"""Ponder's own speeds for the ledger, each configuration in a process of its own: `make bench` runs this.

    python bench/speed.py [--quick]           # some ten minutes; --quick: small models only, nothing is written

Writes bench/results/speed-*.json and docs/performance.md. One line of it: `ponder bench --random NAME --dtype int4`.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any, NamedTuple

import ledger
from peers.report import cpu, save

MOE = "qwen3:0.6b:layers=24,experts=64,top_k=4,expert_width=384"
SMALL = "tiny:layers=8,hidden=256,vocab=8192"
DENSE = "decode1,decode8,decode16,decode1@8192,prefill512,prefill2048,prefill8192,prefix2048,ttft"


MEMORY = ("weights_mb", "loading_peak_mb", "peak_mb", "kv_bytes_per_token")


class Config(NamedTuple):
    label: str
    words: tuple[str, ...]  # of `ponder bench`
    only: str


FEW = "decode1,decode16,prefill512"
CONFIGS = [
    *(Config("Qwen3-0.6B shape", ("--random", "qwen3:0.6b", "--dtype", d), DENSE) for d in ("int4", "int8", "bf16")),
    *(Config("MoE, 24 layers", ("--random", MOE, "--dtype", d), FEW) for d in ("int4", "int8")),
    *(Config("small, 8 layers of 256", ("--random", SMALL, "--dtype", d), FEW) for d in ("int4", "int8", "bf16")),
]


def bench(config: Config) -> dict[str, Any]:
    command = [sys.executable, "-m", "ponder", "bench", *config.words, "--only", config.only, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def rows(label: str, report: dict[str, Any]) -> list[list[Any]]:
    """One row a case: what was measured, and the share of what bounds it."""
    out = []
    for case, found in report["results"].items():
        bound, share = None, None
        if "percent_of_bandwidth" in found:
            bound, share = f"{found['bandwidth_gb_per_s']:.1f} GB/s", float(found["percent_of_bandwidth"])
        elif "percent_of_compute" in found:
            bound, share = f"{found['compute_tera_ops_per_s']:.2f} Tops/s", float(found["percent_of_compute"])
        rate, first = found.get("tokens_per_s"), found.get("first_id_s")
        out.append([label, report["dtype"], case, rate, None if first is None else 1000 * first, bound, share])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    speeds: list[list[Any]] = []
    memory: list[list[Any]] = []
    machine = ""
    for config in CONFIGS:
        if args.quick and SMALL not in config.words:
            continue
        report = bench(config)
        speeds += rows(config.label, report)
        memory.append([config.label, report["dtype"], *(report[key] for key in MEMORY)])
        machine = f"{cpu()}, {report['isa']}, {report['threads']} threads"
        for line in speeds[-len(report["results"]) :]:
            print("  ".join(ledger.cell(part) for part in line), flush=True)
    if args.quick:
        return
    about = {"command": "make bench", "when": time.strftime("%Y-%m-%d"), "machine": machine}
    columns = ["model", "dtype", "case", "tok/s", "ms to first id", "bound by", "% of it"]
    save(ledger.RESULTS / "speed-cases.json", {**about, "columns": columns, "rows": speeds})
    columns = ["model", "dtype", "weights MB", "peak MB, loading", "peak MB, running", "KV bytes a token"]
    save(ledger.RESULTS / "speed-memory.json", {**about, "columns": columns, "rows": memory})
    ledger.main()


if __name__ == "__main__":
    main()
