"""Turns a stream of events into text: the answer on stdout, thoughts and notes on stderr (CLI-1).

So a pipe or `> file` gets the answer and nothing else, while a person in a terminal sees both, thoughts dimmed.
"""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING

from ponder.cli.terminal.markdown import MarkdownWriter

if TYPE_CHECKING:
    from ponder.core.event import Event, Finish

DIM, RESET = "\x1b[2m", "\x1b[0m"
# What a model writes must not drive the terminal: controls become their visible pictures.
_VISIBLE = (
    {c: 0x2400 + c for c in range(32) if chr(c) not in "\n\t"} | {127: 0x2421} | dict.fromkeys(range(128, 160), 0xFFFD)
)


def styled(stream: IO[str]) -> bool:
    """Whether to send colours there: a terminal, and nobody asked for none (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def visible(text: str) -> str:
    """Text for a terminal: control characters as their pictures."""
    return text.translate(_VISIBLE)


def note(text: str) -> None:
    """A remark to the user, on stderr, dimmed in a terminal."""
    print(f"{DIM}{text}{RESET}" if styled(sys.stderr) else text, file=sys.stderr, flush=True)


def wrapped(text: str) -> str:
    """A remark of several lines, none longer than the terminal is wide; one cut short goes on below its last column."""
    columns = shutil.get_terminal_size().columns
    lines = []
    for line in text.split("\n"):
        indent = " " * min(line.rfind("  ") + 2 if "  " in line else 0, columns // 2)
        lines += textwrap.wrap(line, columns, subsequent_indent=indent) or [""]
    return "\n".join(lines)


def rate(tokens: int, first: float | None, seconds: float) -> str:
    """The line on speed. first: seconds to the first token; seconds: to the last one."""
    first = first or 0.0
    a_second = (tokens - 1) / (seconds - first) if seconds > first and tokens > 1 else 0.0
    return f"{a_second:.1f} tokens/s; {tokens} tokens in {seconds:.1f} s, the first after {first:.2f} s"


class Printer:
    """One reply: shows events as they come and keeps the text.

    thoughts: show them (on stderr). answer: show it (on stdout). on_thinking: called once, before the first thought.
    After `show`: text, reasoning (None if the model had none), finish, and the times in seconds.
    """

    def __init__(
        self, *, thoughts: bool = True, answer: bool = True, on_thinking: Callable[[], None] | None = None
    ) -> None:
        self._thoughts, self._answer, self._on_thinking = thoughts, answer, on_thinking
        self._writers = {
            "answer": writer_for(sys.stdout, styled(sys.stdout)),
            "thoughts": writer_for(sys.stderr, False),
        }
        self._phase = ""
        self._at_line_start = True
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._start = time.perf_counter()
        self.first_token: float | None = None
        self.seconds = 0.0
        self.finish: Finish

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str | None:
        return "".join(self._reasoning) if self._reasoning else None

    def show(self, events: "Iterable[Event]") -> "Finish":
        """Print until the stream ends. Always leaves the terminal at the start of a line, in the normal style."""
        from ponder.core.event import Finish, ReasoningDelta, TextDelta

        try:
            for event in events:
                if self.first_token is None:
                    self.first_token = time.perf_counter() - self._start
                if isinstance(event, ReasoningDelta):
                    if not self._reasoning and self._on_thinking:
                        self._on_thinking()
                    self._reasoning.append(event.text)
                    if self._thoughts:
                        self._write("thoughts", event.text)
                elif isinstance(event, TextDelta):
                    self._text.append(event.text)
                    if self._answer:
                        self._write("answer", event.text)
                elif isinstance(event, Finish):
                    self.finish = event
        finally:
            self._enter("")
            self.seconds = time.perf_counter() - self._start
        return self.finish

    def _write(self, phase: str, text: str) -> None:
        self._enter(phase)
        self._at_line_start = text.endswith("\n")
        out, writer = sys.stdout if phase == "answer" else sys.stderr, self._writers[phase]
        out.write(text if writer is None else writer.feed(visible(text)))
        out.flush()

    def _enter(self, phase: str) -> None:
        """Leave one phase and begin another: close the line, set or reset the style."""
        if phase == self._phase:
            return
        if self._phase:
            out, writer = sys.stdout if self._phase == "answer" else sys.stderr, self._writers[self._phase]
            end = (writer.close() if writer else "") + ("" if self._at_line_start else "\n")
            if self._phase == "thoughts":
                end += (RESET if styled(out) else "") + "\n"
            out.write(end)
            out.flush()
        if phase == "thoughts" and styled(sys.stderr):
            sys.stderr.write(DIM)
        self._phase = phase


def writer_for(stream: IO[str], colours: bool) -> MarkdownWriter | None:
    """What keeps words whole in a terminal; a pipe gets the text as it is."""
    return MarkdownWriter(shutil.get_terminal_size().columns, colours=colours) if stream.isatty() else None


def remarks(finish: "Finish") -> list[str]:
    """What a user should know about how the answer ended; empty when it ended as answers do."""
    found = [f"warning: {warning}" for warning in finish.warnings]
    if finish.reason == "length":
        found.append("cut off: the token limit is reached")
    if finish.stop_reason == "repetition":
        found.append("stopped: the answer repeated itself")
    return found


def stats(printer: Printer, load_seconds: float | None = None) -> str:
    """What --verbose prints: counts, speed, settings that held, why thinking was handed over."""
    finish, usage = printer.finish, printer.finish.usage
    first = printer.first_token or 0.0
    a_second = (usage.completion_tokens - 1) / (printer.seconds - first) if printer.seconds > first else 0.0
    e = finish.effective
    think = f"on ({e.thinking_source})" if e.thinking else f"off ({e.thinking_source})"
    lines = [
        f"prompt {usage.prompt_tokens} tokens ({usage.cached_tokens} cached), generated {usage.completion_tokens}"
        f" ({usage.reasoning_tokens} of them thoughts, {usage.handover_tokens} hand-over)",
        f"first token after {first:.2f} s, then {a_second:.1f} tokens/s"
        + (f"; loaded in {load_seconds:.2f} s" if load_seconds is not None else ""),
        f"finish {finish.reason}" + (f" ({finish.stop_reason})" if finish.stop_reason else "")
        + (f"; thinking handed over: {finish.handover}" if finish.handover else ""),
        f"thinking {think}, budget {'none' if e.budget is None else e.budget}, temperature {e.temperature:g},"
        f" top_p {e.top_p:g}, top_k {e.top_k}, min_p {e.min_p:g}, seed {e.seed}, max_tokens {e.max_tokens}",
    ]  # fmt: skip
    return "\n".join(lines)
