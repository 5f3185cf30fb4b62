"""The engine's own loop under the load of serve_load.py, without HTTP: the same prompts, tokens and sampling.

    python bench/engine_load.py MODEL --dtype int8 --streams 16 --tokens 128

One JSON line with tokens a second and processor time a token. Beside serve_load.py it says what HTTP costs.
"""

import argparse
import json
import random
import statistics
import time
from typing import Any

from serve_load import CONTROL, WORDS, banned

from ponder import LLM, Message
from ponder.cli.options import add_load_flags


def run(llm: LLM, streams: int, tokens: int, words: int, seed: int, ban: str = CONTROL) -> float:
    """Tokens a second of all streams. Nobody reads while it runs, so it is the engine alone."""
    rng = random.Random(seed)
    prompts = [" ".join(rng.choices(WORDS, k=words)) for _ in range(streams)]
    options: dict[str, Any] = {
        "thinking": False, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": tokens,
        "logit_bias": banned(ban),
    }  # fmt: skip
    start = time.perf_counter()
    handles = [llm.chat_stream([Message.user(p)], seed=seed * 1000 + n, **options) for n, p in enumerate(prompts)]
    while not all(handle.timings().finished for handle in handles):
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    return sum(llm.result(h, [list(h)]).finish.usage.completion_tokens for h in handles) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    add_load_flags(parser)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ban", default=CONTROL, metavar="FIRST-LAST", help="ids that are never sampled")
    args = parser.parse_args()
    with LLM(args.model, dtype=args.dtype, speculation=args.speculation, threads=args.threads) as llm:
        llm.tokenizer.prepare()  # as a server does
        began = time.process_time()
        run(llm, args.streams, 8, args.words, 0, args.ban)
        rates = [run(llm, args.streams, args.tokens, args.words, seed, args.ban) for seed in range(1, args.rounds + 1)]
        spent = time.process_time() - began
    every = args.streams * (8 + args.rounds * args.tokens)
    found = {"tokens_per_second": round(statistics.median(rates), 2), "processor_ms": spent * 1000 / every}
    print(json.dumps(found | {"rates": rates}), flush=True)


if __name__ == "__main__":
    main()
