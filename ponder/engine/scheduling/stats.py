"""What the engine tells of itself, for `/metrics`, benchmarks and tests."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from ponder.engine.scheduling.block_pool import BlockPool
    from ponder.engine.scheduling.output_processor import OutputProcessor
    from ponder.engine.scheduling.scheduler import Scheduler
    from ponder.engine.scheduling.step import StepExecutor


class Stats(Struct, frozen=True):
    """What the engine did and holds. The descriptions are those of /metrics."""

    steps: Annotated[int, Meta(description="Steps that were computed.")]
    abandoned: Annotated[int, Meta(description="Steps that were left half-way.")]
    prefill_ids: Annotated[int, Meta(description="Ids of prompts that were computed.")]
    decode_ids: Annotated[int, Meta(description="Ids that were computed one by one, drafted ones included.")]
    drafted: Annotated[int, Meta(description="Ids that were guessed ahead.")]
    accepted: Annotated[int, Meta(description="Guessed ids that were right.")]
    cached_ids: Annotated[int, Meta(description="Ids of prompts that were in the cache.")]
    preemptions: Annotated[int, Meta(description="Requests that had to give back their cache.")]
    restarts: Annotated[int, Meta(description="Requests that began again from their prompt.")]
    finished: Annotated[int, Meta(description="Replies that ended.")]
    handovers: Annotated[int, Meta(description="Thoughts that were ended for the model (TB-5).")]
    cancelled: Annotated[int, Meta(description="Replies that were cancelled.")]
    failed: Annotated[int, Meta(description="Replies that failed.")]
    running: Annotated[int, Meta(description="Replies being computed.")]
    waiting: Annotated[int, Meta(description="Replies that wait for a place.")]
    free_blocks: Annotated[int, Meta(description="Blocks of the cache that are free.")]
    blocks: Annotated[int, Meta(description="Blocks of the cache.")]
    seconds_since_step: Annotated[float, Meta(description="0 when idle; grows when a step hangs (SR-4).")]


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
