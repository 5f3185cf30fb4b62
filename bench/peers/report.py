"""Medians and ratios of the interleaved runs: python bench/peers/report.py [RUNS.jsonl]

Writes bench/results/peers-*.json and, through bench/ledger.py, docs/performance.md. A median is over the rounds that
gave a number; a ratio divides Ponder's median by the best peer's, whatever precision that peer uses.
"""

import json
import platform
import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import ledger

COMMAND = "make bench-peers"
NAMES = {
    "ponder": "**Ponder**", "llama": "llama.cpp", "openvino": "OpenVINO GenAI", "vllm": "vLLM CPU",
    "transformers": "transformers",
}  # fmt: skip
# table, case, words that Ponder's variant must contain ("": its best), what the project wants to reach
TARGETS = [
    ("dense", "decode1", "int4", 2.5),
    ("dense", "decode1", "int8", 1.6),
    ("dense", "decode8", "", None),
    ("dense", "decode16", "", 2.5),
    ("dense", "prefill512", "", 2.0),
    ("dense", "prefill2048", "", 2.0),
    ("8k", "decode1@8192", "int8 cache", 3.0),
    ("moe", "decode1", "", 2.0),
    ("moe", "decode16", "", 2.0),
    ("moe", "prefill512", "", None),
    ("32k", "prefill32768", "", None),
]
TITLES = {
    "dense": "Shape of Qwen3-0.6B; decode 1 after 512 ids, 8 and 16 after 128 ids each; tokens a second. "
    "Each engine's default cache: 8 bits in Ponder's int4 and OpenVINO, 16 bits elsewhere",
    "8k": "The same after 8,192 ids",
    "moe": "Mixture of experts: 24 layers, hidden 1024, 64 experts of which 4 work, 384 wide",
    "32k": "One prompt of 32,768 ids, shape of Qwen3-0.6B",
}
Medians = dict[str, dict[str, float]]  # entrant -> case, "load_s" or "peak_mb" -> median


def read(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def medians(rows: list[dict[str, Any]]) -> Medians:
    """Failed runs are left out; an entrant that never ran to its end is in with nothing."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found = values[row["entrant"]]
        if "result" in row:
            result = row["result"]
            for key, value in {**result["results"], **{k: result[k] for k in ("load_s", "peak_mb")}}.items():
                found[key].append(value)
    return {name: {key: median(v) for key, v in found.items()} for name, found in values.items()}


def split(name: str) -> tuple[str, str, str]:
    """ "dense llama Q4_0" -> table, engine, variant"""
    table, engine, variant = name.split(" ", 2)
    return table, engine, variant


def speeds(found: Medians, table: str) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of one table, entrants in the order in which they ran."""
    mine = {name: values for name, values in found.items() if split(name)[0] == table}
    cases = sorted({case for values in mine.values() for case in values} - {"load_s", "peak_mb"}, key=case_order)
    rows = []
    for name, values in mine.items():
        _, engine, variant = split(name)
        rates: list[Any] = [float(values[case]) if case in values else None for case in cases]
        load, peak = values.get("load_s"), values.get("peak_mb")
        rows.append([NAMES[engine], variant, *rates, load, None if peak is None else round(peak)])
    return ["engine", "weights", *map(title, cases), "load s", "peak MB"], rows


def case_order(case: str) -> tuple[str, int]:
    return re.sub(r"\d.*", "", case), int(re.findall(r"\d+", case)[0])


def title(case: str) -> str:
    """ "decode1@8192" -> "decode 1 at 8192" """
    return re.sub(r"^([a-z]+)(\d+)(?:@(\d+))?$", lambda m: f"{m[1]} {m[2]}" + (f" at {m[3]}" if m[3] else ""), case)


def ratios(found: Medians) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for table, case, words, wanted in TARGETS:
        ours, theirs = {}, {}
        for name, values in found.items():
            where, engine, variant = split(name)
            if where == table and case in values and (engine != "ponder" or words in variant):
                (ours if engine == "ponder" else theirs)[f"{NAMES[engine]} {variant}"] = values[case]
        if not ours or not theirs:
            continue
        us, peer = max(ours, key=ours.__getitem__), max(theirs, key=theirs.__getitem__)
        label = f"{title(case)}{'' if table != 'moe' else ', mixture of experts'}"
        ratio = round(ours[us] / theirs[peer], 2)
        goal = "" if wanted is None else f"{wanted} {'reached' if ratio >= wanted else 'missed'}"
        rows.append([label, us.replace("**", ""), float(ours[us]), peer, float(theirs[peer]), f"{ratio:.2f}", goal])
    return rows


def write(log: Path, folder: Path = ledger.RESULTS) -> None:
    """The result files of every table that has runs, then the page; prints the ratios."""
    rows = read(log)
    found = medians(rows)
    rounds = len({row["round"] for row in rows})
    about = {
        "command": COMMAND,
        "when": time.strftime("%Y-%m-%d", time.localtime(max(row["started"] for row in rows))),
        "machine": f"{cpu()}, medians of up to {rounds} interleaved rounds",
    }
    for table in dict.fromkeys(split(name)[0] for name in found):
        columns, lines = speeds(found, table)
        save(folder / f"peers-{table}.json", {"title": TITLES[table], **about, "columns": columns, "rows": lines})
    columns = ["", "Ponder", "tok/s", "best peer", "tok/s", "ratio", "target"]
    compared = ratios(found)
    save(folder / "ratios.json", {**about, "columns": columns, "rows": compared})
    failed = [
        f"{row['entrant']}, round {row['round']}: {row['error'].strip()[-200:]}" for row in rows if "error" in row
    ]
    for line in compared:
        print("  ".join(str(part) for part in line))
    print(*(f"failed: {line}" for line in failed), sep="\n")
    if folder == ledger.RESULTS:
        ledger.main()


def save(file: Path, result: dict[str, Any]) -> None:
    file.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return f"{len(names)} x {names[0].strip()}" if names else platform.machine()


def main() -> None:
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "runs" / "peers" / "runs.jsonl")


if __name__ == "__main__":
    main()
