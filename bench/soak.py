"""Hours of use in minutes: many streams that come, go, are cancelled and told to answer now, on one engine.

    python bench/soak.py [--minutes 10] [--streams 16] [--random NAME] [--dtype int8]

Every stream sends one request after the other: random prompt lengths, some sharing a prefix, some ending inside a
thinking block, random budgets; a part is cancelled in the middle, a part is told to answer now, a part is dropped
unread. The cache is too small for all of them, so requests are preempted as well. One JSON line at the end; exit 1 when
the memory grows, a request is stuck or fails, or a block or slot does not come back.
"""

import argparse
import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from ponder.cli.benchmark.random_model import random_model
from ponder.core.params import SamplingParams, Thinking
from ponder.engine.llm import LLM

LONGEST_PROMPT, LONGEST_ANSWER = 900, 120
BLOCKS_PER_STREAM = 20  # of 32 ids: less than the longest requests need together
SILENCE = 120.0  # seconds without an event before a request counts as stuck
WARM_UP = 0.25  # part of the time before memory is compared: caches and the allocator fill up first
GROWTH = 0.02  # of the resident memory, or this many MB, may be added in the rest of the time
GROWTH_MB = 16


@dataclass
class Tally:
    """What all streams did; `beat` is each stream's last sign of life."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: dict[str, int] = field(default_factory=dict)
    beat: dict[int, float] = field(default_factory=dict)
    longest_silence: float = 0.0
    errors: list[str] = field(default_factory=list)

    def add(self, what: str, count: int = 1) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + count

    def alive(self, stream: int) -> None:
        now = time.monotonic()
        with self.lock:
            self.longest_silence = max(self.longest_silence, now - self.beat.get(stream, now))
            self.beat[stream] = now


def request(llm: LLM, rng: random.Random, tally: Tally, stream: int) -> None:
    """One request from its birth to its end, whatever end that is."""
    fate = rng.choices(("whole", "cancelled", "answer_now", "dropped"), (50, 25, 15, 10))[0]
    think = llm.tokenizer.think
    thinking = think is not None and (fate == "answer_now" or rng.random() < 0.3)
    shared = [random.Random(rng.randrange(4)).randrange(1000, 2000)] * rng.choice((0, 0, 64, 200))
    prompt = shared + [rng.randrange(256, 1500) for _ in range(rng.randint(1, LONGEST_PROMPT))]
    sampling = SamplingParams(max_tokens=rng.randint(8, LONGEST_ANSWER), seed=rng.randrange(1 << 30))
    handle = llm.generate_stream(
        [*prompt, think] if thinking else prompt, sampling, thinking=Thinking(budget=rng.randint(1, 60))
        if thinking else Thinking(enabled=False),
    )  # fmt: skip
    tally.alive(stream)
    if fate == "dropped":
        tally.add(fate)
        return
    turn = rng.randint(1, 20)
    for number, _ in enumerate(handle):
        tally.alive(stream)
        if number == turn and fate == "cancelled":
            handle.cancel()
        if number == turn and fate == "answer_now":
            handle.answer_now()
    tally.add(fate)
    tally.add("ids", len(handle.ids()))


def worker(llm: LLM, stream: int, until: float, tally: Tally, seed: int) -> None:
    rng = random.Random(seed * 1000 + stream)
    while time.monotonic() < until:
        try:
            request(llm, rng, tally, stream)
        except Exception as error:  # of one request; the soak reports it and goes on
            with tally.lock:
                tally.errors.append(f"{type(error).__name__}: {error}")
    with tally.lock:
        tally.beat.pop(stream, None)


def resident_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 1e6


def watch(threads: list[threading.Thread], tally: Tally, samples: list[tuple[float, float]]) -> list[int]:
    """Sample the memory until every stream has ended; the streams that are stuck, [] if none is."""
    start = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        now = time.monotonic()
        samples.append((now - start, resident_mb()))
        with tally.lock:
            stuck = [stream for stream, beat in tally.beat.items() if now - beat > SILENCE]
        if stuck:
            return stuck
        time.sleep(0.5)
    return []


def slope(samples: list[tuple[float, float]]) -> float:
    """MB a second, by least squares."""
    n = len(samples)
    mean_t, mean_m = sum(t for t, _ in samples) / n, sum(m for _, m in samples) / n
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return sum((t - mean_t) * (m - mean_m) for t, m in samples) / spread if spread else 0.0


def soak(llm: LLM, minutes: float, streams: int, seed: int) -> dict[str, Any]:
    tally, samples = Tally(), []
    until = time.monotonic() + 60 * minutes
    threads = [
        threading.Thread(target=worker, args=(llm, stream, until, tally, seed), daemon=True)
        for stream in range(streams)
    ]
    for thread in threads:
        thread.start()
    stuck = watch(threads, tally, samples)
    deadline = time.monotonic() + SILENCE
    while not stuck and llm.stats().running + llm.stats().waiting and time.monotonic() < deadline:
        time.sleep(0.05)  # what was dropped in the last moment is still being taken down
    stats = llm.stats()
    settled = samples[int(len(samples) * WARM_UP) :]
    growth = slope(settled) * (settled[-1][0] - settled[0][0])
    problems = [f"stream {stream} is stuck" for stream in stuck] + sorted(set(tally.errors))[:5]
    if growth > max(GROWTH_MB, GROWTH * settled[0][1]):
        problems.append(f"memory grew by {growth:.1f} MB")
    if stats.running or stats.waiting:
        problems.append(f"{stats.running} running and {stats.waiting} waiting at the end")
    if stats.free_blocks != stats.blocks:
        problems.append(f"{stats.blocks - stats.free_blocks} of {stats.blocks} blocks are missing")
    return {
        "minutes": round(samples[-1][0] / 60, 2), "streams": streams, "seed": seed, **tally.counts,
        "ids_per_s": round(tally.counts.get("ids", 0) / samples[-1][0], 1), "preemptions": stats.preemptions,
        "cached_ids": stats.cached_ids, "failed": stats.failed + len(tally.errors),
        "longest_silence_s": round(tally.longest_silence, 2), "rss_mb": round(settled[-1][1], 1),
        "growth_mb": round(growth, 2), "blocks": stats.blocks, "free_blocks": stats.free_blocks, "problems": problems,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--random", default="tiny:layers=8,hidden=256,vocab=2048", metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    args.max_context, args.speculation, args.kv_dtype, args.no_packed = None, "auto", "auto", False
    args.adapter = []
    loaded = random_model(args.random, args, blocks=BLOCKS_PER_STREAM * args.streams)
    with LLM(replace(loaded, profile=structs.replace(loaded.profile, capability="hybrid"))) as llm:
        report = soak(llm, args.minutes, args.streams, args.seed)
    print(json.dumps(report))
    sys.exit(1 if report["problems"] else 0)


if __name__ == "__main__":
    main()
