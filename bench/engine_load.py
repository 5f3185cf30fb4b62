"""The engine's own loop under the load of serve_load.py, without HTTP: the same prompts, tokens and sampling.

    python bench/engine_load.py MODEL --dtype int8 --streams 16 --tokens 128

One JSON line with tokens a second. Beside serve_load.py it says what HTTP costs.
"""

import argparse
import json
import random
import statistics
import threading
import time
from typing import Any

from serve_load import EOS, WORDS

from ponder import LLM, Message
from ponder.cli.options import add_load_flags


def run(llm: LLM, streams: int, tokens: int, words: int, seed: int) -> float:
    """Tokens a second of all streams. One thread waits for each, as an application would; none does anything else."""
    rng = random.Random(seed)
    prompts = [" ".join(rng.choices(WORDS, k=words)) for _ in range(streams)]
    options: dict[str, Any] = {
        "thinking": False, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": tokens,
        "logit_bias": dict.fromkeys(EOS, -100.0),
    }  # fmt: skip
    counts: list[int] = []
    start = time.perf_counter()
    handles = [llm.chat_stream([Message.user(p)], seed=seed * 1000 + n, **options) for n, p in enumerate(prompts)]

    def follow(handle: Any) -> None:
        for event in handle:
            last = event
        counts.append(last.usage.completion_tokens)

    threads = [threading.Thread(target=follow, args=[h]) for h in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    add_load_flags(parser)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with LLM(args.model, dtype=args.dtype, speculation=args.speculation, threads=args.threads) as llm:
        run(llm, args.streams, 8, args.words, 0)
        rates = [run(llm, args.streams, args.tokens, args.words, seed) for seed in range(1, args.rounds + 1)]
    print(json.dumps({"tokens_per_second": round(statistics.median(rates), 2), "rates": rates}), flush=True)


if __name__ == "__main__":
    main()
