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

from serve_load import CONTROL, WORDS, add_shape_flags, banned

from ponder import LLM, Message
from ponder.cli.loading import open_llm
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
    add_shape_flags(parser)
    args = parser.parse_args()
    with open_llm(args.model, args) as llm:
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
