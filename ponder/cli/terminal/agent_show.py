"""A run of an agent in the terminal: the answer on stdout, everything else on stderr, pictures as files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ponder.cli.terminal.printer import DIM, RESET, note, styled, visible, writer_for
from ponder.cli.terminal.reading import clear_line, show_line
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.agent.loop.event import RunEvent
    from ponder.agent.tools.tool import Output

LINES, WIDTH = 12, 160  # of a result that is shown


class AgentPrinter:
    """Call `show` with each event. workspace: where pictures are kept."""

    def __init__(self, workspace: Path, *, thoughts: bool) -> None:
        self._workspace, self._thoughts = workspace, thoughts
        self._writers = {"text": writer_for(sys.stdout, styled(sys.stdout))}  # Markdown in colours, whole words
        self._writers |= {kind: writer_for(sys.stderr, False) for kind in ("reasoning", "progress")}
        self._open = ""  # "reasoning", "text" or "progress": what the current line belongs to
        self._names: dict[str, str] = {}
        self._reading = False  # the current line says how far the prompt is

    def show(self, event: "RunEvent") -> None:
        from ponder.agent.loop.event import (
            ApprovalRequested,
            CallDone,
            CallProgress,
            CallStarted,
            MessageAdded,
            Note,
            Reading,
            RunDone,
        )
        from ponder.core.event import ReasoningDelta, TextDelta

        if self._reading and not isinstance(event, Reading):
            clear_line()
            self._reading = False
        match event:
            case Reading(processed=processed, total=total):
                self._end_line()
                self._reading = show_line(processed, total)
            case ReasoningDelta(text=text):
                if self._thoughts:
                    self._write("reasoning", text, sys.stderr)
            case TextDelta(text=text):
                self._write("text", text, sys.stdout)
            case CallStarted(call=call):
                self._line(f"→ {call.name} {_short(call.arguments)}")
            case CallProgress(text=text):
                self._write("progress", text, sys.stderr)
            case CallDone():
                self._result(self._names.get(event.call_id, "?"), event.output, event.seconds)
            case MessageAdded(message=message):
                self._names |= {call.id: call.name for call in message.tool_calls}
            case ApprovalRequested(call=call, why=why):
                self._line(f"? {call.name} {call.arguments}\n  {why}")
            case Note(text=text):
                self._line(text)
            case RunDone():
                self._end_line()
                if event.reason not in ("answered", "waiting"):
                    note(f"(ended: {event.reason})")
                if event.text.startswith("("):  # not the model's words, so not shown yet; stdout has answers only
                    if event.reason == "answered":
                        print(event.text)
                    elif event.reason == "error":
                        note(event.text)

    def _result(self, name: str, output: "Output", seconds: float) -> None:
        from ponder.sandbox.workspace import write

        lines = output.text.strip("\n").split("\n")
        shown = [_short(line) for line in lines[:LINES]]
        if len(lines) > LINES:
            shown.append(f"... {len(lines) - LINES} lines more")
        self._line("\n".join([f"← {name} ({seconds:.1f} s)", *(f"  {line}" for line in shown if line)]))
        for n, image in enumerate(output.images, 1):
            suffix = image.media_type.split("/")[-1]
            kept = f"pictures/{Path(image.name).name or f'{name}-{n}.{suffix}'}"
            try:
                write(self._workspace, kept, image.data)
            except UserError as e:  # code in the sandbox may have put a link there
                self._line(f"  picture: not kept, {e}")
            else:
                self._line(f"  picture: {self._workspace / kept}")
        if output.files:
            self._line(f"  files: {', '.join(output.files)} in {self._workspace}")

    def _write(self, kind: str, text: str, stream: TextIO) -> None:
        if self._open not in ("", kind):
            self._end_line()
        self._open = kind
        writer = self._writers[kind]
        shown = text if writer is None else writer.feed(visible(text))
        stream.write(f"{DIM}{shown}{RESET}" if styled(stream) and kind != "text" else shown)
        stream.flush()

    def _line(self, text: str) -> None:
        self._end_line()
        note(visible(text))

    def _end_line(self) -> None:
        if self._open:
            stream, writer = sys.stdout if self._open == "text" else sys.stderr, self._writers[self._open]
            if writer is not None:
                left = writer.feed("\n").removesuffix("\n")  # of the line that ends here
                stream.write(f"{DIM}{left}{RESET}" if styled(stream) and self._open != "text" and left else left)
            print(file=stream, flush=True)
        self._open = ""


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
