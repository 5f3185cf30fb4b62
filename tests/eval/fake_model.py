"""A model made of rules: it thinks the task's own thought, a token a word, and knows what it does to a cut one."""

import threading
from collections.abc import Callable, Iterator, Sequence

from ponder.core.event import Effective, Event, Finish, ReasoningDelta, TextDelta, Usage
from ponder.core.protocol import PromptProgress
from ponder.core.request import ChatRequest
from ponder.eval.settings import Settings
from ponder.tasks.table import TASKS

Say = Callable[[str, str, ChatRequest], str]  # (task, id, request) -> the answer


def right(task: str, id_: str, request: ChatRequest) -> str:
    return TASKS[task].solve(id_)


def finish(request: ChatRequest, thought: int = 0, **values: object) -> Finish:
    asked = request.sampling
    effective = Effective(
        thinking=bool(request.thinking.enabled), thinking_source="request", budget=request.thinking.budget,
        temperature=asked.temperature, top_p=None, top_k=None, min_p=None, seed=asked.seed, max_tokens=asked.max_tokens,
    )  # fmt: skip
    return Finish(**{"reason": "stop", "usage": Usage(1, thought + 1, thought), "effective": effective, **values})


class Stream:
    def __init__(self, events: Sequence[Event], gate: threading.Event | None = None) -> None:
        self.events, self.gate, self.cancelled = events, gate, threading.Event()

    def __iter__(self) -> Iterator[Event]:
        if self.gate is not None:
            while not (self.gate.is_set() or self.cancelled.is_set()):
                self.cancelled.wait(0.01)
        yield from self.events

    def cancel(self) -> None:
        self.cancelled.set()

    def answer_now(self) -> None: ...
    def turn_ids(self) -> tuple[int, ...] | None: ...
    def progress(self) -> PromptProgress | None: ...


class Fake:
    """whole: the answer behind a thought that ended; cut: behind one that did not; plain: without thoughts."""

    def __init__(self, settings: Settings, *, whole: Say = right, cut: Say = right, plain: Say = right) -> None:
        self.whole, self.cut, self.plain = whole, cut, plain
        self.names = {p.messages[0].text: (t, p.id) for t in settings.found() for p in settings.problems(t)}
        self.requests: list[ChatRequest] = []
        self.lock = threading.Lock()
        self.running = self.most = 0

    def stream(self, request: ChatRequest) -> Stream:
        with self.lock:
            self.requests.append(request)
        return Stream(self.events(request))

    def events(self, request: ChatRequest) -> list[Event]:
        task, id_ = self.names[request.messages[0].text]
        if not request.thinking.enabled:
            return [TextDelta(self.plain(task.name, id_, request)), finish(request)]
        words, budget = task.think(id_).split(), request.thinking.budget
        if budget is None or len(words) <= budget:
            said = [ReasoningDelta(" ".join(words)), TextDelta(self.whole(task.name, id_, request))]
            return [*said, finish(request, len(words))]
        said = [ReasoningDelta(" ".join(words[:budget])), TextDelta(self.cut(task.name, id_, request))]
        return [*said, finish(request, budget, handover="budget")]
