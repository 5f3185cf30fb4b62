"""vLLM on the CPU: worker_vllm.py HF_DIR CASES THREADS

The engine runs inside this process and is driven step by step, so that decode steps are timed without the prompts.
"""

import os
import sys
import time

import peer_cases as cases

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "4",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def main() -> None:
    path, words, threads = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = threads
    from vllm import LLM, SamplingParams, __version__

    longest = max(length for *_, length in cases.parse(words)) + 64
    start = time.perf_counter()
    llm = LLM(
        model=path, skip_tokenizer_init=True, dtype="bfloat16", max_model_len=max(4096, longest), max_num_seqs=16,
        max_num_batched_tokens=4096, enable_prefix_caching=False, disable_log_stats=True,
    )  # fmt: skip
    load = time.perf_counter() - start
    engine = llm.llm_engine
    running: dict[str, int] = {}
    serial = 0

    def add(prompts: cases.Prompts, new: int) -> None:
        nonlocal serial
        sampling = SamplingParams(max_tokens=new, ignore_eos=True, temperature=0, detokenize=False)
        for prompt in prompts:
            serial += 1
            running[str(serial)] = 0
            engine.add_request(str(serial), {"prompt_token_ids": prompt}, sampling)

    def step() -> list[int]:
        for output in engine.step():
            running[output.request_id] = len(output.outputs[0].token_ids)
            if output.finished:
                del running[output.request_id]
        return list(running.values())

    steps = cases.Steps(add, step)
    cases.report(load, cases.measure(words, steps.prefill, steps.decode), version=__version__)


if __name__ == "__main__":
    main()
