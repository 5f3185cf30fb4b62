"""The guard against going round in circles: the same call with the same result, again and again (AG-1)."""

import json
from typing import Literal

from ponder.agent.tools.tool import Output
from ponder.core.message import ToolCall


class RepeatGuard:
    """Counts equal (name, arguments, result) in a row. A different result starts the count again, so polling is legal;
    a call of an unknown tool counts like any other. Of a call that fails as it did before the model is told at once."""

    def __init__(self, note: int, stop: int) -> None:
        self.note, self.stop = note, stop
        self._last: tuple[str, str, str] | None = None
        self.count = 0

    def saw(self, call: ToolCall, output: Output) -> Literal["", "note", "stop"]:
        key = (call.name, canonical(call.arguments), output.text)
        self.count = self.count + 1 if key == self._last else 1
        self._last = key
        note = min(self.note, 2) if output.error else self.note
        return "stop" if self.count >= self.stop else "note" if self.count >= note else ""

    def remark(self, output: Output) -> str:
        """What the model reads after the result."""
        same = f"You have made this same call {self.count} times with the same result."
        if output.error:
            return f"[{same} It will fail again: change what is wrong in it, or do without it.]"
        return f"[{same} Do something else.]"


def canonical(arguments: str) -> str:
    """The same text for arguments that differ in spaces or in the order of keys only."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments
