"""Who looks after the engines (SR-4): /health tells, this acts.

An engine whose thread failed is let go; the next request loads the model again. A thread that hangs inside a step
cannot be ended from outside: when that lasts, all stacks are written to stderr and the process ends with EXIT_STUCK, so
that whatever supervises it (systemd, Kubernetes, a shell loop) starts a new one.
"""

import asyncio
import faulthandler
import os
from collections.abc import Callable

from ponder.server.http.log import log
from ponder.server.runtime.pool import Pool

EXIT_STUCK = 70  # EX_SOFTWARE of sysexits.h
EVERY = 1.0  # seconds


async def watch(pool: Pool, limit: float, leave: Callable[[int], None] = os._exit) -> None:
    """For ever. limit: seconds that a step may take. leave: how the process ends; os._exit waits for no thread."""
    while True:
        await asyncio.sleep(EVERY)
        for served in pool.models.values():
            if served.llm is None:
                continue
            health = served.llm.health()
            if health.dead:
                log.error("%s: %s; it will be loaded again", served.name, health.trouble)
                await pool.drop(served)
            elif health.seconds_since_step > limit:
                log.critical("%s: no step for %.0f s; the process ends", served.name, health.seconds_since_step)
                faulthandler.dump_traceback(all_threads=True)
                leave(EXIT_STUCK)
