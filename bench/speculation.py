"""Speculation on and off, interleaved, on texts that copy and texts that do not: tokens per second and acceptance.

    python bench/speculation.py MODEL [--dtype int8] [--draft MODEL] [--rounds 4] [--only rewrite,essay] [--save]

Every text is generated greedily and sampled; the ids must be equal with and without, which is checked. Each way has an
engine of its own, and every round asks each of them once for every task, in turn. --save: for the ledger.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import ledger
from peers.report import cpu, save

from ponder import LLM

HERE = Path(__file__).resolve().parent.parent
CODE = (HERE / "ponder/engine/decoding/stop.py").read_text()
TEXT = (HERE / "README.md").read_text()[:2500]
ROWS = [{"id": i, "name": f"item {i}", "price": 3 + i * 7 % 11, "in_stock": i % 3 == 0} for i in range(12)]
TASKS: dict[str, str] = {
    "rewrite": f"Rename the class StopMatcher to StringStopper in this file and repeat the whole file:\n\n{CODE}",
    "quote": f"Repeat this document word by word:\n\n{TEXT}",
    "json": f'Add the field "currency": "EUR" to every object of this list and print it:\n\n{json.dumps(ROWS)}',
    "code": "Write a Python class for a binary search tree with insert, delete, find and an in-order iterator.",
    "essay": "Write an essay about how cities grew in the middle ages.",
    "reason": "Think step by step, check every step twice, then answer: A train leaves at 9:40 and arrives at 13:05 "
    "after two stops of 7 minutes each. Its average speed while moving is 84 km/h. How long is the way? "
    "Show all calculations.",
}  # fmt: skip


def ask(llm: LLM, task: str, temperature: float, ids: int) -> tuple[float, tuple[int, ...], int, int]:
    """(seconds for each id after the first, ids, drafted, accepted)"""
    handle = llm.chat_stream(TASKS[task], temperature=temperature, seed=7, max_tokens=ids)
    for _ in handle:
        pass
    t = handle.timings()
    return t.per_id_s, handle.ids(), t.drafted, t.accepted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--draft", help="a model that drafts, measured beside the text alone")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--ids", type=int, default=200)
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(TASKS))
    parser.add_argument("--temperatures", type=lambda ts: [float(t) for t in ts.split(",")], default=[0.0, 0.7])
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    kinds = {"off": "off", "from the text": "auto", **({"by a model": args.draft} if args.draft else {})}
    ways = {way: LLM(args.model, dtype=args.dtype, kv_blocks=256, speculation=kind) for way, kind in kinds.items()}
    for llm in ways.values():
        llm.chat(TASKS["essay"], max_tokens=min(40, args.ids))  # costs and caches warm
    rows = []
    for task in args.only:
        for temperature in args.temperatures:
            found: dict[str, list[Any]] = {way: [] for way in ways}
            for _ in range(args.rounds):
                for way, llm in ways.items():
                    found[way].append(ask(llm, task, temperature, args.ids))
            rows += _rows(task, temperature, found)
            print(json.dumps(rows[-len(found) + 1 :]), flush=True)
    if args.save:
        command = f"python bench/speculation.py {Path(args.model).name} --rounds {args.rounds}"
        columns = ["text", "temperature", "guesses", "tok/s without", "tok/s with", "times", "guessed", "right"]
        about = {"command": command, "when": time.strftime("%Y-%m-%d"), "machine": cpu()}
        save(ledger.RESULTS / "speculation.json", {**about, "columns": columns, "rows": rows})
        ledger.main()


def _rows(task: str, temperature: float, found: dict[str, list[Any]]) -> list[list[Any]]:
    plain = [seconds for seconds, *_ in found["off"]]
    rows = []
    for way, runs in found.items():
        assert all(ids == found["off"][0][1] for _, ids, _, _ in runs), f"{way} changed the output"
        if way != "off":
            rate = 1 / statistics.median(seconds for seconds, *_ in runs)
            gain = statistics.median(p / seconds for p, (seconds, *_) in zip(plain, runs))
            _, _, drafted, accepted = runs[-1]
            rows.append([task, temperature, way, 1 / statistics.median(plain), rate, gain, drafted, accepted])
    return rows


if __name__ == "__main__":
    main()
