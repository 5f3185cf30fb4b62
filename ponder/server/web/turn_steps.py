"""The steps of a turn (core/turn.py) while it is written, and as the messages that the model is told."""

import base64
import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, structs

from ponder.agent.tools.tool import Image
from ponder.core.turn import CallState, CallStep, NoteStep, Step, StepImage, TextStep, ThoughtStep, spoken, steps_of

Row = dict[str, Any]

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})  # what browsers draw and cannot run
MAX_PICTURE = 4 << 20  # bytes
UNDECIDED = "Error: the user did not decide on this call. It was not carried out."
MAX_OUTPUT = 100_000  # characters of a result that are kept for people; the model's own limit is the loop's


class Transcript:
    """The steps of one turn. Methods return what the page is told, one dict or None: "step" is a new one, "delta" more
    text, "change" new fields."""

    def __init__(self, budget: int | None = None, steps: Sequence[Row] = (), *, extend: bool = False) -> None:
        """budget: how long the model may think, for the page's bar; None without a limit. steps: those there are
        already, of a turn that goes on; extend: in the middle of the last one's text."""
        self._steps = steps_of({"steps": steps})
        self._old = len(steps) - (extend and bool(steps))  # nothing is written into those
        self._budget = budget
        self._pieces: list[str] = []  # of the last step's text, joined when somebody looks: no copy for every piece
        self._count, self._began = 0, 0.0  # pieces of the last step, and when it began

    def write(self, kind: Literal["thought", "text"], text: str) -> Row:
        new = ThoughtStep(text, budget=self._budget) if kind == "thought" else TextStep(text)
        if len(self._steps) > self._old and type(self._steps[-1]) is type(new):
            self._pieces.append(text)
            self._count += 1
            return {"type": "delta", "at": len(self._steps) - 1, "text": text}
        return self._append(new)

    def thinking(self, tokens: int | None = None) -> Row | None:
        """The clock of the thoughts that are being written; None when there are none. tokens: where they are not
        known, a piece counts as one."""
        at = len(self._steps) - 1
        if at < self._old or not isinstance(self._steps[at], ThoughtStep):
            return None
        return self._change(at, seconds=round(time.monotonic() - self._began, 1), tokens=tokens or self._count)

    def counted(self, tokens: int) -> Row | None:
        """The exact length of the last thoughts; None when there are none."""
        found = [at for at, s in enumerate(self._steps) if isinstance(s, ThoughtStep) and at >= self._old]
        return self._change(found[-1], tokens=tokens) if found and tokens else None

    def note(self, text: str) -> Row:
        return self._append(NoteStep(text))

    def call(self, id_: str, name: str, arguments: str, state: CallState = "running") -> Row:
        return self._append(CallStep(id_, name, arguments, state))

    def change(self, id_: str, **news: Any) -> Row:
        """New fields of a call."""
        if "output" in news and len(news["output"]) > MAX_OUTPUT:
            news["output"] = news["output"][:MAX_OUTPUT] + f"\n… {len(news['output']) - MAX_OUTPUT} characters more"
        return self._change(max(self._calls(id_)), **news)

    def state(self, id_: str) -> CallState | None:
        """None: there is no such call."""
        calls = self._calls(id_)
        return calls[max(calls)].state if calls else None

    def steps(self) -> list[Step]:
        """As they are now."""
        if self._pieces:
            last = self._steps[-1]
            assert isinstance(last, ThoughtStep | TextStep)
            self._steps[-1] = structs.replace(last, text=last.text + "".join(self._pieces))
            self._pieces = []
        return list(self._steps)

    def body(self) -> Row:
        """What is stored. Calls that still run count as failed: who reads this finds them so only after a kill. Those
        that wait for a person go on waiting."""
        steps = self.steps()
        for at, step in enumerate(steps):
            if isinstance(step, CallStep) and step.state == "running":
                steps[at] = structs.replace(step, state="failed", note="stopped")
        return {"content": spoken(steps), "steps": msgspec.to_builtins(steps)}

    def _calls(self, id_: str) -> dict[int, CallStep]:
        return {at: s for at, s in enumerate(self._steps) if isinstance(s, CallStep) and s.id == id_}

    def _append(self, step: Step) -> Row:
        self.steps()
        self._steps.append(step)
        self._count, self._began = 1, time.monotonic()
        return {"type": "step", "at": len(self._steps) - 1, "step": step}

    def _change(self, at: int, **news: Any) -> Row:
        self._steps[at] = structs.replace(self._steps[at], **news)
        return {"type": "change", "at": at, "news": news}


def pictures(images: Sequence[Image]) -> tuple[StepImage, ...]:
    """What the page may show of a call's images; the others are named only."""
    return tuple(
        StepImage(image.media_type, base64.b64encode(image.data).decode(), image.name)
        if image.media_type in PICTURES and len(image.data) <= MAX_PICTURE
        else StepImage(image.media_type, "", f"{image.name} ({len(image.data)} bytes)")
        for image in images
    )


def messages_of(row: Row, *, goes_on: bool = False) -> list[Row]:
    """A stored message as the model is told it, in the OpenAI form: one per assistant step, then the tools' results.
    goes_on: calls that wait stay open, for the loop to carry them out; else they were passed over."""
    if row["role"] != "assistant":
        return [{"role": row["role"], "content": prompt_text(row)}]
    messages: list[Row] = []
    results: list[Row] = []
    current: Row | None = None
    for step in steps_of(row):
        if isinstance(step, NoteStep):
            continue
        if current is None or (results and not isinstance(step, CallStep)):
            current = {"role": "assistant", "content": ""}
            messages, results = [*messages, *results, current], []
        match step:
            case ThoughtStep():
                current["reasoning_content"] = current.get("reasoning_content", "") + step.text
            case TextStep():
                current["content"] += step.text
            case CallStep():
                function = {"name": step.name, "arguments": step.arguments}
                current.setdefault("tool_calls", []).append({"id": step.id, "type": "function", "function": function})
                if goes_on and step.state == "waiting":
                    continue
                results.append({"role": "tool", "tool_call_id": step.id, "name": step.name, "content": _result(step)})
    return [*messages, *results] or [{"role": "assistant", "content": ""}]


def _result(step: CallStep) -> str:
    if step.state == "waiting":
        return UNDECIDED
    return (step.output or step.note) if step.told is UNSET else step.told


def prompt_text(row: Row) -> str:
    """What was typed, after the texts of the files that came with it."""
    files = [f"File {a['name']}:\n````\n{a['text']}\n````\n\n" for a in row.get("attachments", [])]
    return "".join(files) + str(row.get("content", ""))
