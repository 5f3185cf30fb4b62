"""The measurements of `ponder bench`: speed of a running model, memory of this process.

Speeds are those of the engine as users have it: scheduler, sampler and parser included. `roofline.py` tells what the
machine would allow.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ponder.core.errors import UserError
from ponder.core.event import Finish
from ponder.core.params import SamplingParams, Thinking

if TYPE_CHECKING:
    from ponder.engine.llm import LLM
    from ponder.engine.scheduling.handle import Handle

IDS = 48  # ids that each stream generates in a decode measurement
TURN = 16  # new ids after a prompt that the cache knows


def prefill(llm: "LLM", length: int, seed: int) -> float:
    """Seconds from the request to its first id, for a prompt of `length` random ids that nothing is cached of."""
    return _first_id(llm, _prompt(llm, length, seed))


def prefix_hit(llm: "LLM", length: int, seed: int) -> float:
    """Seconds to the first id when the cache holds all of the prompt's `length` ids but the last few."""
    known = _prompt(llm, length - TURN, seed)
    _first_id(llm, known)
    handle = llm.generate_stream(known + _prompt(llm, TURN, seed + 1_000_000), SamplingParams(max_tokens=1))
    finish = list(handle)[-1]
    assert isinstance(finish, Finish) and finish.usage.cached_tokens == length - TURN, "the prompt was not in the cache"
    return handle.timings().first_id_s


def decode(llm: "LLM", streams: int, context: int, seed: int) -> float:
    """Ids a second of `streams` requests together, each after `context` ids, from the moment when all have begun.

    The prompts are put into the prefix cache first, so that all streams start within a step or two. Their ends are not
    counted apart, which makes the rate rather too low than too high.
    """
    prompts = [_prompt(llm, context, seed * 1000 + i) for i in range(streams)]
    llm.engine.prepare(wait=True)
    for handle in [llm.generate_stream(prompt, SamplingParams(max_tokens=1)) for prompt in prompts]:
        list(handle)
    never = dict.fromkeys([*llm.tokenizer.control.values(), *llm.profile.eos_ids], -100.0)
    sampling = SamplingParams(max_tokens=IDS, seed=seed, logit_bias=never)
    handles = [llm.generate_stream(p, sampling, thinking=Thinking(loop_guard=False)) for p in prompts]
    for handle in handles:
        list(handle)
    times = [handle.timings() for handle in handles]
    assert all(t.generated == IDS for t in times), "a stream ended early"
    begin = max(t.first_id for t in times)
    ids = sum((IDS - 1) * max(0.0, t.finished - begin) / (t.finished - t.first_id) for t in times)
    return ids / (max(t.finished for t in times) - begin)


def _first_id(llm: "LLM", prompt: list[int]) -> float:
    llm.engine.prepare(wait=True)
    handle: Handle = llm.generate_stream(prompt, SamplingParams(max_tokens=1))
    list(handle)
    return handle.timings().first_id_s


def _prompt(llm: "LLM", length: int, seed: int) -> list[int]:
    """Random ids of ordinary text: a block that a prompt opens would be handed over."""
    ordinary = np.setdiff1d(np.arange(llm.profile.vocab), list(llm.tokenizer.control.values()))
    ids: list[int] = np.random.default_rng(seed).choice(ordinary, length).tolist()
    return ids


def forget_peak() -> None:
    """Start the peak of `peak_memory` again (Linux; elsewhere it stays that of the whole process)."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


def peak_memory() -> int:
    """Bytes: the most that was resident since `forget_peak`, mapped weights included."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError as e:
        raise UserError("ponder bench measures memory, too, and can on Linux and macOS only.") from e
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
