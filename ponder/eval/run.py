"""Asks a model every question of an evaluation, many at a time.

Any `ChatModel` will do: requests come from threads, and an engine that batches computes them together. What is done
is handed to `keep` at once, so that an interrupted run can go on where it was.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import NamedTuple

from msgspec import structs

from ponder.core.errors import UpstreamError
from ponder.core.event import Event
from ponder.core.params import Thinking
from ponder.core.protocol import ChatModel, ChatStream
from ponder.core.request import ChatRequest
from ponder.core.sample import Problem
from ponder.eval.cache import Cache
from ponder.eval.episodes import Player, play
from ponder.eval.grade import Output, graded
from ponder.eval.settings import Cell, Settings
from ponder.tasks.base import Task
from ponder.tasks.tools.world import PlayedTask

IN_FLIGHT = 64  # twice the engine's batch: a place that gets free is taken at once
ATTEMPTS = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds


class Job(NamedTuple):
    task: Task
    problem: Problem
    cell: Cell
    sample: int

    @property
    def key(self) -> tuple[str, str, Cell, int]:
        return self.task.name, self.problem.id, self.cell, self.sample


def jobs_of(settings: Settings) -> list[Job]:
    """In the order of the report. Raises UserError when a level has too few questions."""
    return [
        Job(task, problem, cell, sample)
        for task in settings.found()
        for problem in settings.problems(task)
        for cell in settings.cells(task)
        for sample in range(settings.samples_of(task))
    ]


def request_of(job: Job, settings: Settings) -> ChatRequest:
    seed = settings.seed_of(job.problem, job.sample)
    sampling = settings.sampling_of(job.task, job.cell.mode)
    return ChatRequest(
        messages=job.problem.messages,
        tools=job.problem.tools,
        sampling=structs.replace(sampling, seed=seed, n=1),
        thinking=Thinking(enabled=job.cell.mode == "think", budget=job.cell.budget),
    )


def run(
    model: ChatModel,
    settings: Settings,
    *,
    done: Iterable[Output] = (),
    in_flight: int = IN_FLIGHT,
    cache: Cache | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    keep: Callable[[Output], None] = lambda output: None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> list[Output]:
    """The outputs of all jobs, in their order; those in `done` are not asked again. clock: what answers take is
    measured with it; without one, no output depends on the hour.

    The first error ends the run: what a model refuses, an endpoint that fails, a verifier that raises. So does
    KeyboardInterrupt. What was finished has been kept by then.
    """
    jobs = jobs_of(settings)
    outputs = {output.key: output for output in done}
    missing = [job for job in jobs if job.key not in outputs]
    tick(len(jobs) - len(missing), len(jobs))
    with _asking(model, settings, in_flight, cache, clock) as ask:
        for future in as_completed([ask(job) for job in missing]):
            output = future.result()
            keep(output)
            outputs[output.key] = output
            tick(len(outputs), len(jobs))
    return [outputs[job.key] for job in jobs]


@contextmanager
def _asking(
    model: ChatModel, settings: Settings, in_flight: int, cache: Cache | None, clock: Callable[[], float]
) -> Iterator[Callable[[Job], "Future[Output]"]]:
    """Yields a function that asks in the background. When the block is left by an error, what runs is cancelled."""
    running: set[ChatStream] = set()
    lock, stopped, player = threading.Lock(), threading.Event(), Player()

    def events_of(request: ChatRequest) -> list[Event]:
        stream = model.stream(request)
        with lock:
            running.add(stream)
            if stopped.is_set():
                stream.cancel()
        try:
            return list(stream)
        finally:
            with lock:
                running.discard(stream)

    def ask(job: Job) -> Output:
        request = request_of(job, settings)
        seed = request.sampling.seed
        assert seed is not None
        if cache is not None and (line := cache.get(request)):
            return graded(job.task, job.problem, job.cell, job.sample, seed, line.events, line.seconds)
        started = clock()
        task = job.task
        if isinstance(task, PlayedTask):
            events = _again(lambda: play(player, model, task, job.problem, request), stopped)
        else:
            events = _again(lambda: events_of(request), stopped)
        seconds = clock() - started
        if cache is not None:
            cache.put(request, events, seconds)
        return graded(job.task, job.problem, job.cell, job.sample, seed, events, seconds)

    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="eval")
    try:
        yield lambda job: pool.submit(ask, job)
    except BaseException:
        stopped.set()
        with lock:
            for stream in running:
                stream.cancel()
        player.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        player.close()


def _again(ask: Callable[[], list[Event]], stopped: threading.Event) -> list[Event]:
    """An endpoint that is overloaded (429), broken, or left half-way is asked again, as late as it says or twice
    as late each time. The last error is raised: a run that goes on needs every answer."""
    for attempt in range(ATTEMPTS):
        try:
            return ask()
        except UpstreamError as e:
            again = e.status is None or e.status == 429 or e.status >= 500
            if not again or attempt == ATTEMPTS - 1:
                raise
            if stopped.wait(min(LONGEST_WAIT, FIRST_WAIT * 2**attempt if e.retry_after is None else e.retry_after)):
                raise
    raise AssertionError("the last attempt returns or raises")
