"""What is measured of every engine, the same way: shared by the workers, which run in environments of their own.

A worker is `worker_NAME.py MODEL CASES [OPTION ...]` with CASES as in `ponder bench --only`:

    decode8        ids a second of 8 streams together, each behind a prompt of 128 ids (one stream: 512)
    decode1@8192   the same behind 8192 ids
    prefill2048    prompt ids a second of one prompt of 2048 ids

It prints one JSON line: {"load_s", "peak_mb", "results": {case: rate}, ...}. A case is measured once, after a short
prompt that warms the engine up; medians are taken over processes (run.py). Only the standard library is used here.
"""

import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VOCAB = range(1000, 100_000)  # ordinary ids in every one of the models

WARM_UP = 128  # ids

Prompts = list[list[int]]


def parse(words: str) -> list[tuple[str, str, int, int]]:
    """ "decode8,prefill512" -> [(case, "decode", streams, context), (case, "prefill", 1, prompt)]"""
    found = []
    for word in words.split(","):
        kind, count = ("decode", word[6:]) if word.startswith("decode") else ("prefill", word[7:])
        first, _, context = count.partition("@")
        if kind == "prefill":
            found.append((word, kind, 1, int(first)))
        else:
            found.append((word, kind, int(first), int(context) if context else 512 if first == "1" else 128))
    return found


def prompts(count: int, length: int) -> Prompts:
    """New random ids every time, so that no prefix cache helps."""
    return [random.choices(VOCAB, k=length) for _ in range(count)]


def steps(streams: int) -> int:
    """How many decode steps are timed: a second or two of each engine."""
    return 32 if streams == 1 else 16


def measure(words: str, prefill: Callable[[list[int]], float], decode: Callable[[int, int], float]) -> dict[str, float]:
    """prefill(prompt) -> seconds to the first id. decode(streams, context) -> ids a second of all streams."""
    prefill(prompts(1, WARM_UP)[0])
    results = {}
    for word, kind, streams, length in parse(words):
        rate = length / prefill(prompts(1, length)[0]) if kind == "prefill" else decode(streams, length)
        results[word] = round(rate, 2)
    return results


def peak_mb() -> int:
    """The most memory this process ever held, in MB; mapped files count while they are resident."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 // 1_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 1_000_000


def report(load_s: float, results: dict[str, Any], **more: Any) -> None:
    print(json.dumps({"load_s": round(load_s, 2), "peak_mb": peak_mb(), "results": results, **more}), flush=True)


class Steps:
    """Prefill and decode of an engine that is driven step by step: `add(prompts, n)` starts requests of n new ids,
    `step()` computes once and returns how many new ids each running request has got since it was added."""

    def __init__(self, add: Callable[[Prompts, int], None], step: Callable[[], list[int]]) -> None:
        self.add, self.step = add, step

    def prefill(self, prompt: list[int]) -> float:
        start = time.perf_counter()
        self.add([prompt], 1)
        while self.step():
            pass
        return time.perf_counter() - start

    def decode(self, streams: int, context: int) -> float:
        """Counted from the step after which every stream has its first id to the last id of the last one."""
        new = steps(streams) + 1
        self.add(prompts(streams, context), new)
        counts = self.step()
        while not all(counts):
            counts = self.step()
        had, start = sum(counts), time.perf_counter()
        while self.step():
            pass
        return (streams * new - had) / (time.perf_counter() - start)
