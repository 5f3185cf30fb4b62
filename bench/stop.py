"""How long Stop takes: from cancel to a free slot, while a long prompt is read.

    python bench/stop.py model.gguf
    python bench/stop.py model.gguf --beside 2

--beside: other requests that decode meanwhile. Their ids a second are told too, undisturbed and beside the cancels.
"""

import argparse
import random
import statistics
import time

from ponder import LLM
from ponder.core.event import Finish
from ponder.core.params import Thinking
from ponder.engine.scheduling.handle import Handle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--prompt", type=int, default=2000, metavar="N", help="ids of the prompt (%(default)s)")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="(%(default)s)")
    parser.add_argument("--beside", type=int, default=0, metavar="N", help="requests that decode (%(default)s)")
    args = parser.parse_args()
    with LLM(args.model, max_context=8192, speculation="off") as llm:
        llm.engine.prepare(wait=True)
        rng = random.Random(1)
        reading = min(read(llm, prompt(rng, args.prompt)) for _ in range(2))
        others = [endless(llm, prompt(rng, 20)) for _ in range(args.beside)]
        alone = rate(others, 3.0)
        begun, ids = time.perf_counter(), count(others)
        waits = sorted(stop(llm, rng, args.prompt, reading) for _ in range(args.times))
        beside = (count(others) - ids) / (time.perf_counter() - begun)
        print(
            f"reading {args.prompt} ids: {reading:.2f} s; cancel to free slot, ms: median "
            f"{statistics.median(waits) * 1e3:.0f}, least {waits[0] * 1e3:.0f}, most {waits[-1] * 1e3:.0f}"
        )
        if others:
            print(f"{len(others)} others: {alone:.1f} ids/s alone, {beside:.1f} beside prompts that are cancelled")


def prompt(rng: random.Random, length: int) -> list[int]:
    """Never seen before, so that nothing of it comes from the cache."""
    return [rng.randrange(1000, 20000) for _ in range(length)]


def read(llm: LLM, ids: list[int]) -> float:
    start = time.perf_counter()
    llm.generate(ids, max_tokens=1)
    return time.perf_counter() - start


def endless(llm: LLM, ids: list[int]) -> Handle:
    bias = dict.fromkeys(llm.profile.eos_ids, -100.0)
    return llm.generate_stream(ids, max_tokens=7000, logit_bias=bias, thinking=Thinking(loop_guard=False))


def stop(llm: LLM, rng: random.Random, length: int, reading: float) -> float:
    """Seconds. On a machine with other work the prompt may be read too early: then again."""
    while True:
        handle = llm.generate_stream(prompt(rng, length), max_tokens=1)
        time.sleep(reading * rng.uniform(0.05, 0.7))
        cancelled = time.monotonic()
        handle.cancel()
        [*_, finish] = handle
        if isinstance(finish, Finish) and finish.reason == "cancelled":
            return handle.timings().finished - cancelled


def count(handles: list[Handle]) -> int:
    return sum(len(handle.ids()) for handle in handles)


def rate(handles: list[Handle], seconds: float) -> float:
    """Ids a second."""
    time.sleep(seconds / 2)
    before, start = count(handles), time.perf_counter()
    time.sleep(seconds)
    return (count(handles) - before) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
