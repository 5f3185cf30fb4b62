"""What a page knows of a turn: the steps that its first event has, and what every later one makes of them."""

import json
from contextlib import suppress
from typing import Any

import httpx


def fold(steps: list[dict[str, Any]], event: dict[str, Any]) -> None:
    """Writes an event into the steps."""
    match event["type"]:
        case "start":
            steps[:] = event["message"]["steps"]
        case "step":
            assert event["at"] == len(steps)
            steps.append(event["step"])
        case "delta":
            steps[event["at"]]["text"] += event["text"]
        case "change":
            steps[event["at"]] |= event["news"]


class PageTurn:
    """A turn may be further than its beginning when its page first looks."""

    def __init__(self, reply: httpx.Response) -> None:
        self._events = (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: "))
        self.steps: list[dict[str, Any]] = []
        self.id: str = self.read()["message"]["id"]

    def read(self) -> dict[str, Any]:
        """One event more."""
        self.last: dict[str, Any] = next(self._events)
        fold(self.steps, self.last)
        return self.last

    def rest(self) -> dict[str, Any]:
        """The last event of the stream."""
        with suppress(StopIteration):
            while True:
                self.read()
        return self.last

    def calls(self) -> list[dict[str, Any]]:
        return [step for step in self.steps if step["kind"] == "call"]

    def waiting(self, count: int) -> list[str]:
        """The ids of the calls, once so many wait for a person."""
        while [call["state"] for call in self.calls()] != ["waiting"] * count:
            self.read()
        return [call["id"] for call in self.calls()]
