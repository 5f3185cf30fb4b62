"""What the engine tells of itself, for `/metrics`, benchmarks and tests."""

from msgspec import Struct


class Stats(Struct, frozen=True):
    """What the engine did and holds. abandoned: steps that were left half-way. handovers: thoughts that were ended for
    the model (TB-5). seconds_since_step: 0 when idle; grows when a step hangs (SR-4)."""

    steps: int
    abandoned: int
    prefill_ids: int
    decode_ids: int
    drafted: int
    accepted: int
    cached_ids: int
    preemptions: int
    restarts: int
    finished: int
    handovers: int
    cancelled: int
    failed: int
    running: int
    waiting: int
    free_blocks: int
    blocks: int
    seconds_since_step: float
