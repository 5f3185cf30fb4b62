"""Greedy continuation of given prompts by llama.cpp: the peer for parity and HumanEval.

    LLAMA_PYTHON bench/llama_greedy.py MODEL.gguf PROMPTS.jsonl OUT.jsonl --max-tokens 64

Runs in an interpreter that has llama-cpp-python (not a dependency of Ponder; see docs/performance.md). PROMPTS has
{"id", "ids"} lines, OUT gets {"id", "ids", "gaps"}: the generated ids up to the end token, and at each step the
difference between the two largest logits. Lines already in OUT are kept: a stopped run goes on.
"""

import argparse
import json
import time
from pathlib import Path

import llama_cpp
import numpy as np


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("model")
    args.add_argument("prompts")
    args.add_argument("out")
    args.add_argument("--max-tokens", type=int, default=64)
    args.add_argument("--kv-f32", action="store_true", help="keep keys and values at 32 bits (llama.cpp's own is 16)")
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--stop-text", help="also stop once the continuation contains this")
    args.add_argument("--stop-ids", type=int, nargs="*", default=[151645, 151643])
    a = args.parse_args()
    out = Path(a.out)
    done = {json.loads(line)["id"] for line in out.read_text().splitlines()} if out.exists() else set()
    kv = {"type_k": 0, "type_v": 0, "flash_attn": False} if a.kv_f32 else {}  # 0 is GGML_TYPE_F32
    llm = llama_cpp.Llama(a.model, n_ctx=4096, n_threads=a.threads, n_threads_batch=a.threads, verbose=False, **kv)
    with out.open("a") as sink:
        for line in Path(a.prompts).read_text().splitlines():
            prompt = json.loads(line)
            if prompt["id"] in done:
                continue
            start = time.perf_counter()
            ids, gaps = greedy(llm, prompt["ids"], a.max_tokens, set(a.stop_ids), a.stop_text)
            seconds = time.perf_counter() - start
            print(json.dumps({"id": prompt["id"], "ids": ids, "gaps": gaps, "seconds": seconds}), file=sink, flush=True)


def greedy(
    llm: llama_cpp.Llama, ids: list[int], most: int, stop: set[int], stop_text: str | None
) -> tuple[list[int], list[float]]:
    llm.reset()
    llm.eval(ids)
    made: list[int] = []
    gaps: list[float] = []
    while len(made) < most:
        row = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llm.ctx, -1), (llm.n_vocab(),))
        first = int(row.argmax())
        second = np.partition(row, -2)[-2]
        gaps.append(float(row[first] - second))
        made.append(first)
        if first in stop or (stop_text and stop_text.encode() in llm.detokenize(made)):
            break
        llm.eval([first])
    return made, gaps


if __name__ == "__main__":
    main()
