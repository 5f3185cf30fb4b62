"""How fast a model answers here, one question after another."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from ponder.core.event import Finish
from ponder.core.message import Message
from ponder.core.params import SamplingParams
from ponder.core.request import ChatRequest
from ponder.engine.llm import LLM
from ponder.kernels.cpu import cpu_name, usable_cpus

MOST = 128  # ids of an answer


class Clock(NamedTuple):
    """Milliseconds to the first word of an answer and to its end, tokens a second; medians over questions."""

    first: float
    whole: float
    rate: float


def speed(llm: LLM, questions: Sequence[str]) -> Clock:
    llm.prepare()
    found = []
    for question in questions:
        request = ChatRequest(messages=(Message.user(question),), sampling=SamplingParams(max_tokens=MOST))
        began, first, ids = time.perf_counter(), 0.0, 0
        for event in llm.stream(request):
            first = first or time.perf_counter() - began
            if isinstance(event, Finish):
                ids = event.usage.completion_tokens
        whole = time.perf_counter() - began
        found.append(Clock(1000 * first, 1000 * whole, ids / whole))
    return Clock(*(statistics.median(values) for values in zip(*found)))


def machine() -> str:
    """`2 cores of AMD EPYC 7B12`"""
    return f"{usable_cpus()} cores of {cpu_name()}"
