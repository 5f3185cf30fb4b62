"""An assistant's turn, step by step: what the model thought, said and called, and what came back.

Stored with the message and streamed to the page in the same words (docs/web.md has the protocol). A step is one of
    {"kind": "thought", "text", "seconds", "tokens", "budget"}
    {"kind": "text", "text"}
    {"kind": "call", "id", "name", "arguments", "state", "note", "output", "images", "diff"}
    {"kind": "note", "text"}: what the user should know, such as a limit that was reached
state: "waiting" for a person's approval, "running", "done", "failed" or "denied". arguments: the JSON text that the
model wrote. note: how far it is, or what is asked. told: what the model was told, where that is not the output.
images: [{"media_type", "data" (base64), "name"}]. diff: what changed in the files.

Methods return what the page is told, one dict or None: "step" is a new one, "delta" more text, "change" new fields.
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ponder.agent.tools.tool import Image

Row = dict[str, Any]
State = Literal["waiting", "running", "done", "failed", "denied"]

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})  # what browsers draw and cannot run
MAX_PICTURE = 4 << 20  # bytes
UNDECIDED = "Error: the user did not decide on this call. It was not carried out."
MAX_OUTPUT = 100_000  # characters of a result that are kept for people; the model's own limit is the loop's


@dataclass
class Prose:
    """Thoughts or text. Pieces are joined when somebody looks, so that a long text costs no more than its length."""

    kind: Literal["thought", "text"]
    facts: Row = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def row(self) -> Row:
        return {"kind": self.kind, "text": "".join(self.pieces)} | self.facts


class Transcript:
    """The steps of one turn. budget: how long the model may think, for the page's bar; None without a limit."""

    def __init__(self, budget: int | None = None, steps: Sequence[Row] = ()) -> None:
        """steps: those there are already, of a turn that goes on."""
        self._steps: list[Prose | Row] = [dict(step) for step in steps]
        self._budget = budget

    def write(self, kind: Literal["thought", "text"], text: str) -> Row:
        last = self._steps[-1] if self._steps else None
        if isinstance(last, Prose) and last.kind == kind:
            last.pieces.append(text)
            return {"type": "delta", "at": len(self._steps) - 1, "text": text}
        step = Prose(kind, pieces=[text])
        if kind == "thought":
            step.facts = {"seconds": 0.0, "tokens": 0, "budget": self._budget}
        return self._append(step)

    def thinking(self, tokens: int | None = None) -> Row | None:
        """The clock of the thoughts that are being written; None when there are none. tokens: where they are not
        known, a piece counts as one."""
        if not self._steps or not isinstance(step := self._steps[-1], Prose) or step.kind != "thought":
            return None
        news = {"seconds": round(time.monotonic() - step.began, 1), "tokens": tokens or len(step.pieces)}
        step.facts |= news
        return {"type": "change", "at": len(self._steps) - 1, "news": news}

    def counted(self, tokens: int) -> Row | None:
        """The exact length of the last thoughts; None when there are none."""
        found = [(at, s) for at, s in enumerate(self._steps) if isinstance(s, Prose) and s.kind == "thought"]
        if not found or not tokens:
            return None
        found[-1][1].facts["tokens"] = tokens
        return {"type": "change", "at": found[-1][0], "news": {"tokens": tokens}}

    def note(self, text: str) -> Row:
        return self._append({"kind": "note", "text": text})

    def call(self, id_: str, name: str, arguments: str, state: State = "running") -> Row:
        step = {"kind": "call", "id": id_, "name": name, "arguments": arguments, "state": state, "note": "",
                "output": "", "images": [], "diff": ""}  # fmt: skip
        return self._append(step)

    def change(self, id_: str, **news: Any) -> Row:
        """New fields of a call."""
        at = max(at for at, s in enumerate(self._steps) if not isinstance(s, Prose) and s.get("id") == id_)
        if "output" in news and len(news["output"]) > MAX_OUTPUT:
            news["output"] = news["output"][:MAX_OUTPUT] + f"\n… {len(news['output']) - MAX_OUTPUT} characters more"
        step = self._steps[at]
        assert not isinstance(step, Prose)
        step |= news
        return {"type": "change", "at": at, "news": news}

    def state(self, id_: str) -> State | None:
        """None: there is no such call."""
        found: list[State] = [s["state"] for s in self._steps if not isinstance(s, Prose) and s.get("id") == id_]
        return found[-1] if found else None

    def rows(self) -> list[Row]:
        """The steps as they are now."""
        return [s.row() if isinstance(s, Prose) else dict(s) for s in self._steps]

    def body(self) -> Row:
        """What is stored. Calls that still run count as failed: who reads this finds them so only after a kill. Those
        that wait for a person go on waiting."""
        steps = self.rows()
        for step in steps:
            if step["kind"] == "call" and step["state"] == "running":
                step |= {"state": "failed", "note": "stopped"}
        return {"content": said(steps), "steps": steps}

    def _append(self, step: Prose | Row) -> Row:
        self._steps.append(step)
        row = step.row() if isinstance(step, Prose) else dict(step)
        return {"type": "step", "at": len(self._steps) - 1, "step": row}


def said(steps: Sequence[Row]) -> str:
    """What was said to the user: all texts, without thoughts and calls."""
    return "\n\n".join(s["text"].strip("\n") for s in steps if s["kind"] == "text" and s["text"].strip())


def pictures(images: Sequence[Image]) -> list[Row]:
    """What the page may show of a call's images; the others are named only."""
    return [
        {"media_type": image.media_type, "data": base64.b64encode(image.data).decode(), "name": image.name}
        if image.media_type in PICTURES and len(image.data) <= MAX_PICTURE
        else {"media_type": image.media_type, "data": "", "name": f"{image.name} ({len(image.data)} bytes)"}
        for image in images
    ]


def messages_of(row: Row, *, goes_on: bool = False) -> list[Row]:
    """A stored message as the model is told it, in the OpenAI form: one per assistant step, then the tools' results.
    goes_on: calls that wait stay open, for the loop to carry them out; else they were passed over."""
    if row["role"] != "assistant":
        return [{"role": row["role"], "content": prompt_text(row)}]
    messages: list[Row] = []
    results: list[Row] = []
    current: Row | None = None
    for step in row["steps"]:
        if step["kind"] == "note":
            continue
        if current is None or (results and step["kind"] != "call"):
            current, results = _next(messages, results), []
        match step["kind"]:
            case "thought":
                current["reasoning_content"] = current.get("reasoning_content", "") + step["text"]
            case "text":
                current["content"] += step["text"]
            case "call":
                function = {"name": step["name"], "arguments": step["arguments"]}
                current.setdefault("tool_calls", []).append(
                    {"id": step["id"], "type": "function", "function": function}
                )
                if goes_on and step["state"] == "waiting":
                    continue
                told = UNDECIDED if step["state"] == "waiting" else step.get("told", step["output"] or step["note"])
                results.append({"role": "tool", "tool_call_id": step["id"], "name": step["name"], "content": told})
    return [*messages, *results] or [{"role": "assistant", "content": ""}]


def _next(messages: list[Row], results: list[Row]) -> Row:
    messages.extend(results)
    messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def prompt_text(row: Row) -> str:
    """What was typed, behind the texts of the files that came with it."""
    files = [f"File {a['name']}:\n````\n{a['text']}\n````\n\n" for a in row.get("attachments", [])]
    return "".join(files) + str(row.get("content", ""))
