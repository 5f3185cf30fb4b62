"""Ids that nobody reads as text: rollouts, which take the ids themselves. Only the phases are followed."""

from collections.abc import Iterable

from ponder.core.event import Event
from ponder.text.chat.raw import RawParser


class SilentParser(RawParser):
    def feed(self, ids: Iterable[int]) -> list[Event]:
        for id_ in ids:
            self._machine.advance(id_)
        return []

    def finish(self, *, ended: bool = False) -> list[Event]:
        return []
