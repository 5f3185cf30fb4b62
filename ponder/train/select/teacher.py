"""Who answers the questions: a model of another stage, one by name, a server, or the tasks themselves.

with teacher_of("http://localhost:8000/v1") as model:
    answers = ask(model, problems, thinking=True, candidates=4, sampling=...)
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from ponder.core.params import SamplingParams, Thinking
from ponder.core.protocol import ChatModel
from ponder.core.request import ChatRequest
from ponder.core.sample import Problem
from ponder.engine.llm import LLM
from ponder.engine.remote import RemoteModel
from ponder.eval.grade import reply_parts
from ponder.train.select.responses import Response

IN_FLIGHT = 64


@contextmanager
def teacher_of(name: str | Path) -> Iterator[ChatModel]:
    """name: a folder, what `ponder list` knows, or the URL of a server with OpenAI's API."""
    if str(name).startswith(("http://", "https://")):
        with RemoteModel(str(name)) as remote:
            yield remote
    else:
        with LLM(name) as llm:
            yield llm


def ask(
    model: ChatModel,
    problems: Sequence[Problem],
    *,
    thinking: bool,
    candidates: int,
    sampling: SamplingParams,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> list[list[Response]]:
    """For each problem as many responses. An error of the model ends it. tick: called after each response; what it
    raises ends it, too, once those that are being given are there."""
    requests = [
        ChatRequest(messages=p.messages, tools=p.tools, thinking=Thinking(enabled=thinking),
                    sampling=replace(sampling, n=1, seed=(seed * 1_000_003 + n * candidates + c) % (1 << 31)))
        for n, p in enumerate(problems) for c in range(candidates)
    ]  # fmt: skip

    def answered(request: ChatRequest) -> Response:
        thought, answer, finish = reply_parts(list(model.stream(request)))
        return Response(thought.strip(), answer.strip(), finish.reason == "stop" and finish.handover is None)

    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="teacher") as pool:
        futures, found = [pool.submit(answered, request) for request in requests], list[Response]()
        try:
            for future in futures:
                found.append(future.result())
                tick()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return [found[n : n + candidates] for n in range(0, len(found), candidates)]
