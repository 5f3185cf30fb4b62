"""A GGUF file as Ponder computes with it: bytes of a step, decode speed of one thread, distance to the file's values.

    python bench/file_decode.py model-Q4_K_M.gguf auto int8            # bench/file_decode_llama.mjs measures llama.cpp
    python bench/file_decode.py model-Q4_K_M.gguf auto --kl 384        # takes the memory of the model in float32

Speed is ids for each second of processor time of one thread, so that other work on the machine shows little.
"""

import argparse
import time
from pathlib import Path
from statistics import median

from ponder import LLM
from ponder.model.capacity import Machine, estimate
from ponder.model.load import load, open_checkpoint, open_tokenizer
from ponder.model.quantise.quality import compare, read_text

PROMPT = list(range(1000, 1064))


def speed(path: Path, dtype: str, ids: int, rounds: int) -> float:
    rates = []
    with LLM(path, dtype=dtype, max_context=2048, speculation="off", threads=1) as llm:
        llm.generate(PROMPT, max_tokens=2, temperature=0)
        for _ in range(rounds):
            start = time.process_time()
            llm.generate(PROMPT, max_tokens=1, temperature=0)
            prompt = time.process_time() - start
            start = time.process_time()
            done = llm.generate(PROMPT, max_tokens=ids + 1, temperature=0)
            rates.append((len(done.ids) - 1) / (time.process_time() - start - prompt))
    return median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("dtypes", nargs="+")
    parser.add_argument("--ids", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kl", type=int, default=0, metavar="N", help="ids of the text to compare on")
    args = parser.parse_args()
    checkpoint = open_checkpoint(args.file)
    reference = load(args.file, dtype="f32") if args.kl else None
    text, sha256 = read_text(open_tokenizer(checkpoint, args.file))
    for dtype in args.dtypes:
        plan = estimate(checkpoint, Machine("CPU", 1e12, 1e9), dtype, "auto", context=64, streams=1)
        rate = speed(args.file, dtype, args.ids, args.rounds)
        print(f"{dtype}: {plan.step_weights / 1e6:.0f} MB a step, {rate:.2f} ids a second of one thread", flush=True)
        if reference is not None:
            print(f"  {compare(reference, [load(args.file, dtype=dtype)], text[: args.kl], sha256)[0]}", flush=True)


if __name__ == "__main__":
    main()
