"""What the engine tells of itself, for `/metrics`, benchmarks and tests."""

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from ponder.engine.scheduling.block_pool import BlockPool
    from ponder.engine.scheduling.output_processor import OutputProcessor
    from ponder.engine.scheduling.scheduler import Scheduler
    from ponder.engine.scheduling.step import StepExecutor


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


def stats_of(
    steps: "StepExecutor", scheduler: "Scheduler", output: "OutputProcessor", pool: "BlockPool", seconds: float
) -> Stats:
    """seconds: since the last step."""
    counters = scheduler.counters
    return Stats(
        steps=steps.count,
        abandoned=steps.cancelled,
        prefill_ids=counters.prefill_ids,
        decode_ids=counters.decode_ids,
        drafted=counters.drafted,
        accepted=counters.accepted,
        cached_ids=counters.cached_ids,
        preemptions=counters.preemptions,
        restarts=counters.restarts,
        finished=output.finished,
        handovers=output.handovers,
        cancelled=output.cancelled,
        failed=output.failed,
        running=len(scheduler.running),
        waiting=len(scheduler.waiting),
        free_blocks=pool.available,
        blocks=pool.count,
        seconds_since_step=seconds,
    )
