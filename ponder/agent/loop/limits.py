"""How far a run may go. Past a limit the model is told so and answers with what it has (AG-2)."""

import time

from msgspec import Struct

from ponder.agent.loop.event import Note, RunLog, StopReason
from ponder.agent.tools.tool import Tool
from ponder.core.errors import UserError
from ponder.core.event import Usage


class Limits(Struct, frozen=True, kw_only=True):
    """How far a run may go; None is no limit.

    >>> from ponder.agent import Agent, Limits
    >>> Agent("ponder-mini", limits=Limits(steps=4, seconds=30)).limits.steps
    4
    """

    steps: int = 24
    """Turns of the model with tools; one more without them may follow for the answer."""
    seconds: float | None = None
    """Wall time until the answer must begin."""
    thinking_tokens: int | None = None
    """Of all steps together."""
    call_seconds: float = 60.0
    """Of one call, where the tool names no time of its own."""
    output_chars: int = 16_000
    """What the model reads of one call; beyond that head and tail are kept."""
    outputs_chars: int | None = None
    """What it reads of all calls."""
    same_note: int = 3
    """After so many equal calls with equal results in a row the model is told (AG-1)."""
    same_stop: int = 5
    """After so many it is made to answer."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} must be above 0, got {value}; leave it out for the default", param=name)


STOPPED: dict[StopReason, str] = {
    "max_steps": "the limit of steps is reached",
    "max_time": "the time is over",
    "max_thinking": "the limit of thinking tokens is reached",
    "max_output": "the limit of tool output is reached",
    "repetition": "the same call gave the same result again and again",
}


class RunBudget:
    """What a run has used of its limits, and why no more calls are made."""

    def __init__(self, limits: Limits, log: RunLog) -> None:
        self.stop: StopReason | None = None
        """Once it is set, the model may only answer."""
        self.steps, self.usage = 0, Usage()
        self._limits, self._log, self._began = limits, log, time.monotonic()
        self._output_left = limits.outputs_chars

    def check(self) -> None:
        """Stop calls at the first limit that is reached."""
        limits = self._limits
        reasons: list[tuple[StopReason, bool]] = [
            ("max_steps", self.steps >= limits.steps),
            ("max_time", self.seconds_left() <= 0),
            ("max_thinking", self.thinking_left() == 0),
            ("max_output", self._output_left is not None and self._output_left <= 0),
        ]
        for reason, reached in reasons:
            if reached and self.stop is None:
                self.stop_for(reason)

    def stop_for(self, reason: StopReason) -> None:
        self.stop = reason
        self._log.add(Note(f"No more calls: {STOPPED[reason]}."))

    def seconds_left(self) -> float:
        """Until the answer must begin."""
        return float("inf") if self._limits.seconds is None else self._began + self._limits.seconds - time.monotonic()

    def call_seconds(self, tool: Tool) -> float:
        own = tool.timeout if tool.timeout is not None else self._limits.call_seconds
        return max(0.01, min(own, self.seconds_left()))

    def thinking_left(self) -> int | None:
        """Tokens; None without a limit."""
        limit = self._limits.thinking_tokens
        return None if limit is None else max(0, limit - self.usage.reasoning_tokens)

    def output_limit(self) -> int:
        """Characters that the model may read of the next result."""
        limit = self._limits.output_chars
        return limit if self._output_left is None else max(0, min(limit, self._output_left))

    def count_output(self, text: str) -> None:
        if self._output_left is not None:
            self._output_left -= len(text)


def cut(text: str, limit: int) -> str:
    """Head and tail of a text that is too long, and how much lies between. limit: characters that stay."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n[... {len(text) - limit:,} characters left out ...]\n{text[len(text) - tail :]}"
