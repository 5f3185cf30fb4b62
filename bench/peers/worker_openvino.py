"""OpenVINO GenAI, continuous batching: worker_openvino.py OV_DIR CASES THREADS"""

import sys
import time

import numpy as np
import openvino as ov
import openvino_genai as genai
import peer_cases as cases


def main() -> None:
    path, words, threads = sys.argv[1:]
    longest = max(length for *_, length in cases.parse(words))
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 3  # GB
    scheduler.max_num_batched_tokens, scheduler.max_num_seqs = max(2304, longest + 64), 16
    scheduler.dynamic_split_fuse, scheduler.enable_prefix_caching = False, False
    start = time.perf_counter()
    pipe = genai.ContinuousBatchingPipeline(path, scheduler, "CPU", {"INFERENCE_NUM_THREADS": int(threads)})
    load = time.perf_counter() - start
    running: list[list[object]] = []  # [handle, ids so far]
    serial = 0

    def add(prompts: cases.Prompts, new: int) -> None:
        nonlocal serial
        config = genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample, config.eos_token_id = new, True, False, 151645
        config.apply_chat_template = False
        for prompt in prompts:
            serial += 1
            running.append([pipe.add_request(serial, ov.Tensor(np.array([prompt], np.int64)), config), 0])

    def step() -> list[int]:
        pipe.step()
        for item in running:
            if item[0].can_read():
                item[1] += sum(len(output.generated_ids) for output in item[0].read().values())
        counts = [item[1] for item in running]
        if not pipe.has_non_finished_requests():
            running.clear()
            return []
        return counts

    steps = cases.Steps(add, step)
    cases.report(load, cases.measure(words, steps.prefill, steps.decode), version=genai.__version__)


if __name__ == "__main__":
    main()
