"""The step loop: requests in, forward passes, ids out. One thread owns the model; everybody else only sends commands.

    handle = engine.submit(prompt_ids, [control])
    for event in handle: ...

A step computes the scheduler's work and samples an id for every sequence whose logits came out (`step.py`), lets its
RequestState decide what that means, and puts the events into the reader's channel (`output_processor.py`). Commands
(submit, cancel, answer now) arrive through a queue and are processed at the beginning of the next step. The thread
starts with the first request and goes away when there has been nothing to do for a while, so a forgotten engine costs
nothing. While it lives, the end of the program closes the engine: a thread that is still inside the kernels then would
abort the process.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ponder.core.client import CLIENT
from ponder.core.errors import ContextLengthExceeded, UserError
from ponder.core.protocol import Health
from ponder.engine.decoding.request_state import RequestState
from ponder.engine.scheduling.block_pool import BlockPool
from ponder.engine.scheduling.cancel import StepCancellation
from ponder.engine.scheduling.channel import EventChannel
from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.handle import Handle
from ponder.engine.scheduling.output_processor import OutputProcessor
from ponder.engine.scheduling.runner import Runner
from ponder.engine.scheduling.scheduler import Scheduler
from ponder.engine.scheduling.sequence import Sequence
from ponder.engine.scheduling.stats import Stats, stats_of
from ponder.engine.scheduling.step import StepExecutor
from ponder.engine.scheduling.verify import speculate

IDLE_SECONDS = 2.0  # after so long without work the thread ends; the next request starts a new one
STUCK_SECONDS = 60.0  # a single step of the largest model takes a few seconds
BURST = 0.008  # short for a cancel, long for the readers' threads: they are woken once in a burst

Command = tuple[Callable[[Sequence], None], Sequence]


class Engine:
    """max_batch: sequences computed together. chunk: ids computed in one step at most; smaller steps make running
    answers and cancels smoother, larger ones make long prompts a little faster.
    drafter: drafts ids ahead; the output is the same with any and with none.
    burst: seconds that may pass before running sequences are looked at again, where a step of the model takes less.
    background=False: no thread; the caller drives `step()` (training, tests)."""

    def __init__(
        self,
        runner: Runner,
        *,
        max_batch: int = 32,
        chunk: int = 128,
        drafter: Drafter | None = None,
        burst: float = BURST,
        background: bool = True,
    ) -> None:
        if chunk < 2:
            raise UserError(f"chunk must be 2 or more ids, got {chunk}", param="chunk")
        if not 0 < max_batch < chunk:
            raise UserError(f"max_batch must be 1 or more and below the chunk of {chunk} ids", param="max_batch")
        self.runner = runner
        self.pool = BlockPool(runner.blocks, runner.block_size, runner.copy_block)
        self.scheduler = Scheduler(self.pool, max_batch, chunk, runner.rope_factor)
        self.context = min(runner.context, self.scheduler.capacity)
        self._drafter = drafter
        self._background = background
        self._process = os.getpid()
        self._commands: SimpleQueue[Command | None] = SimpleQueue()  # its put() may be called from destructors
        commands = self._commands  # of which the steps learn, not of the engine: no circle keeps a forgotten one alive
        self._output = OutputProcessor(self.scheduler, drafter)
        self._steps = StepExecutor(runner, self.scheduler, self._output, burst, lambda: not commands.empty())
        self._step_cancellation = StepCancellation(max_batch)
        self._prepared = threading.Event()  # memory is ready, or never will be
        self._lock = threading.Lock()  # guards the next four
        self._thread: threading.Thread | None = None
        self._serial = 0
        self._closed = False
        self._broken: Exception | None = None
        self._step_at = time.monotonic()
        self.weights_version = 0  # how often `weights_changed` was called

    def submit(self, ids: list[int], states: list[RequestState]) -> Handle:
        """Start a request: one choice for every RequestState, which must agree on the prompt. Returns at once.

        Raises UserError when it can never fit, or when the engine is closed.
        """
        if not ids:
            raise UserError("the prompt is empty; give at least one token", param="prompt")
        if len(ids) >= self.context:
            raise ContextLengthExceeded(len(ids), self.context)
        if os.getpid() != self._process:
            raise UserError("this model was loaded before the process forked; load it in the child, or use spawn")
        channel = EventChannel(len(states))
        with self._lock:
            if self._closed:
                raise UserError("this engine is closed; make a new LLM")
            if self._broken:
                raise self._broken
            sequences: list[Sequence] = []
            for choice, state in enumerate(states):
                leader = sequences[0] if sequences else None
                sequences.append(Sequence(self._serial, list(ids), state, channel, choice, leader, CLIENT.get()))
                self._serial += 1
            for sequence in sequences:
                self._commands.put((self._add, sequence))
            self._start()
        return Handle(sequences, channel, self._request_cancel, self._command(self._answer_now))

    def prepare(self, *, wait: bool = False) -> None:
        """Start now to touch the memory that the first requests will write to, as the thread does whenever there is
        nothing else to do: some systems take milliseconds for a megabyte. wait: return when that is done."""
        with self._lock:
            if self._closed or self._broken or not self._background:
                return
            self._prepared.clear()
            self._commands.put(None)  # for a thread that waits
            self._start()
        if wait:
            self._prepared.wait()

    def step(self) -> bool:
        """Process the commands, compute one batch. False when there was nothing to compute. Not while the thread
        runs."""
        self._process_commands(block=False)
        work = self.scheduler.plan()
        cancelled = self._step_cancellation.begin(work)
        if not work:
            return False
        if self._drafter is not None and all(item.rows == 1 == item.end - item.start for item in work):
            speculate(self._steps, work, self._drafter, cancelled)
        else:
            self._steps.decode(work, cancelled)
        self._step_at = time.monotonic()
        return True

    @property
    def has_thread(self) -> bool:
        """Steps come by themselves; otherwise the caller drives `step()`."""
        return self._background

    def weights_changed(self) -> int:
        """The model's weights were changed in place: forget the keys and values that the old ones made. Returns the
        new `weights_version`.

        Raises UserError while a request runs or waits: half of it would come from other weights than its log-probs
        say. A drafter keeps nothing of a sequence that has ended, and its guesses never change the output.
        """
        if not self._background:
            self._process_commands(block=False)  # cancelled requests still hold their blocks
        with self._lock:  # no request can come meanwhile; the thread touches blocks for requests only
            open_requests = self._serial - self._output.finished - self._output.failed
            if open_requests:
                raise UserError(
                    f"the weights cannot change while {open_requests} sequences run or wait: read them to their end, "
                    "or cancel them and wait",
                    code="engine_busy",
                )
            self.pool.clear()
            self.weights_version += 1
            return self.weights_version

    def close(self) -> None:
        """Cancel everything and stop. Idempotent; every open stream still gets its last event."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._commands.put(None)
        self._step_cancellation.close()
        if thread is not None:
            thread.join()
        else:
            self._shut_down()
        atexit.unregister(self.close)

    def stats(self) -> Stats:
        busy = bool(self.scheduler.running or self.scheduler.waiting)
        seconds = time.monotonic() - self._step_at if busy else 0.0
        return stats_of(self._steps, self.scheduler, self._output, self.pool, seconds)

    def health(self) -> Health:
        """The thread may have failed, died or be inside one step for longer than any step takes (SR-4)."""
        with self._lock:  # a thread that `submit` is just starting is not alive yet
            thread, broken = self._thread, self._broken
            died = thread is not None and not thread.is_alive() and not self._closed
        seconds, trouble = self.stats().seconds_since_step, None
        if broken is not None:
            trouble = f"the engine failed: {type(broken).__name__}: {broken}"
        elif died:
            trouble = "the engine's thread died"
        elif (damaged := self._output.damaged) is not None:
            trouble = str(damaged)
        elif seconds > STUCK_SECONDS:
            trouble = f"no step for {seconds:.0f} s"
        return Health(trouble, trouble is None, broken is not None or died, seconds)

    def _start(self) -> None:
        """With the lock held."""
        if self._background and self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="ponder-engine", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _loop(self) -> None:
        """The thread: steps while there is work, makes memory ready and waits for commands otherwise."""
        while True:
            try:
                if not self.step() and not self._touch() and not self._process_commands(block=True):
                    return
            except Exception as error:  # a bug of ours: nobody may be left waiting for an event that never comes
                self._break(error)
                raise
            if self._closed:
                self._shut_down()
                return

    def _touch(self) -> bool:
        """Make a piece of memory ready. False when there is enough."""
        if self.runner.touch(self.pool.reached):
            return True
        self._prepared.set()
        return False

    def _process_commands(self, *, block: bool) -> bool:
        """Process all commands. With block, wait for one; False when the thread has ended itself, out of work."""
        while True:
            try:
                command = self._commands.get(block, IDLE_SECONDS)
            except Empty:
                if not block:
                    return True
                with self._lock:  # a submit that comes now finds no thread and starts one
                    if self._commands.empty():
                        self._thread = None
                        atexit.unregister(self.close)
                        return False
                continue
            block = False
            if command is not None:
                action, sequence = command
                if not sequence.finished:
                    action(sequence)

    def _command(self, action: Callable[[Sequence], None]) -> Callable[[Sequence], None]:
        commands = self._commands
        return lambda sequence: commands.put((action, sequence))

    def _request_cancel(self, sequence: Sequence) -> None:
        """From any thread, and from destructors."""
        self._commands.put((self._cancel, sequence))
        self._step_cancellation.cancel(sequence)

    def _add(self, sequence: Sequence) -> None:
        if not self.scheduler.running and not self.scheduler.waiting:
            self._step_at = time.monotonic()  # the time without work is nobody's delay
        self.scheduler.add(sequence)
        self._output.follow_up(sequence)
        self._output.deliver(sequence)

    def _cancel(self, sequence: Sequence) -> None:
        self._output.finish(sequence, "cancelled")

    def _answer_now(self, sequence: Sequence) -> None:
        sequence.state.request_answer_now()
        self._output.follow_up(sequence)
        self._output.deliver(sequence)

    def _shut_down(self) -> None:
        self._prepared.set()
        self._process_commands(block=False)
        for sequence in [*self.scheduler.running, *self.scheduler.waiting]:
            self._cancel(sequence)

    def _break(self, error: Exception) -> None:
        """The engine itself failed: every reader gets the error, new requests too."""
        with self._lock:
            self._broken = error
        self._prepared.set()
        left = {*self.scheduler.running, *self.scheduler.waiting}
        while not self._commands.empty():
            if (command := self._commands.get()) is not None:
                left.add(command[1])
        for sequence in left:
            if not sequence.finished:
                sequence.finished = True
                sequence.channel.put(sequence.choice, [error])
