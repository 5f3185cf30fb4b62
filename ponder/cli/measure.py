"""The measurements behind `ponder bench`: speed of a running model, memory of this process, bandwidth of this machine.

Speeds are those of the engine as users have it: scheduler, sampler and parser included.
"""

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ponder.core.params import SamplingParams, Thinking
from ponder.kernels.native import Weight, threads
from ponder.model.weights import EMBED, HEAD

if TYPE_CHECKING:
    from ponder.engine.llm import LLM
    from ponder.model.model import Model

PROMPT = 16  # ids before a decode measurement
IDS = 48  # ids that each stream generates in it


def prefill(llm: "LLM", length: int, seed: int) -> float:
    """Seconds from the request to its first id, for a prompt of `length` random ids that nothing is cached of."""
    handle = llm.generate_stream(_prompt(llm, length, seed), SamplingParams(max_tokens=1))
    list(handle)
    return handle.timings().first_id_s


def decode(llm: "LLM", streams: int, seed: int) -> float:
    """Ids a second over all of `streams` requests that run together, counted from each one's first id on."""
    never = dict.fromkeys(llm.profile.eos_ids, -100.0)
    sampling = SamplingParams(max_tokens=IDS, seed=seed, logit_bias=never)
    handles = [
        llm.generate_stream(_prompt(llm, PROMPT, seed * 1000 + i), sampling, thinking=Thinking(loop_guard=False))
        for i in range(streams)
    ]
    for handle in handles:
        list(handle)
        assert handle.timings().generated == IDS, "a stream ended early"
    return sum(1 / handle.timings().per_id_s for handle in handles)


def _prompt(llm: "LLM", length: int, seed: int) -> list[int]:
    ids: list[int] = np.random.default_rng(seed).integers(0, min(llm.profile.vocab, 150_000), length).tolist()
    return ids


def bytes_per_id(model: "Model") -> float:
    """Bytes of weights and cache that must be read to make one id of one stream: the least a decode step can do."""
    config = model.config
    share = config.num_experts_per_tok / config.num_experts if config.num_experts else 1.0
    total = 0.0
    for name, weight in model.weights.items():
        nbytes = weight.tensor.nbytes if isinstance(weight, Weight) else weight.nbytes
        if name != EMBED:  # of the table one row is read; a tied one is counted as the head
            total += nbytes * (share if ".experts." in name else 1.0)
    assert HEAD in model.weights
    return total + config.kv_bytes_per_token("bf16") * (PROMPT + IDS / 2)


def read_bandwidth(nbytes: int = 256 << 20, tries: int = 8) -> float:
    """Bytes a second that the kernels' threads read from memory together, the best of several tries."""
    parts = np.array_split(np.ones(nbytes // 4, np.float32), threads())
    best = 0.0
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(tries):
            start = time.perf_counter()
            list(pool.map(lambda part: np.dot(part, part), parts))
            best = max(best, nbytes / (time.perf_counter() - start))
    return best


def forget_peak() -> None:
    """Start the peak of `peak_memory` anew (Linux; elsewhere it stays that of the whole process)."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def peak_memory() -> int:
    """Bytes: the most that was resident since `forget_peak`, mapped weights included."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
