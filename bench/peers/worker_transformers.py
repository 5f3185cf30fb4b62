"""transformers, bf16, eager PyTorch with SDPA: worker_transformers.py HF_DIR CASES THREADS"""

import sys
import time

import peer_cases as cases
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache


class Eager:
    def __init__(self, path: str) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()

    def fill(self, prompts: cases.Prompts) -> DynamicCache:
        cache = DynamicCache(config=self.model.config)
        self.model(torch.tensor(prompts), past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    def prefill(self, prompt: list[int]) -> float:
        start = time.perf_counter()
        self.fill([prompt])
        return time.perf_counter() - start

    def decode(self, streams: int, context: int) -> float:
        cache = self.fill(cases.prompts(streams, context))
        ids = torch.full((streams, 1), 1234)
        steps = cases.steps(streams)
        start = time.perf_counter()
        for _ in range(steps):
            logits = self.model(ids, past_key_values=cache, use_cache=True).logits
            ids = logits[:, -1:].argmax(-1)
        return streams * steps / (time.perf_counter() - start)


def main() -> None:
    path, words, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    start = time.perf_counter()
    eager = Eager(path)
    load = time.perf_counter() - start
    cases.report(load, cases.measure(words, eager.prefill, eager.decode), version=transformers.__version__)


if __name__ == "__main__":
    main()
