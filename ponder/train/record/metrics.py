"""What a run tells: one JSON line a step in `metrics.jsonl`, and one line on the terminal that says how far it is.

The file is cut back to where a checkpoint was when a run goes on from it, so that no step stands there twice.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from ponder.core.errors import UserError
from ponder.train.step import StepReport

Line = dict[str, float | str]
EVERY = 10.0  # seconds between two lines where the output is no terminal


class Metrics:
    """`metrics.jsonl` of one stage."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        """offset: bytes to keep, 0 begins again; what `offset` said when the checkpoint was written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if path.exists() else "w+b")
        if self._file.seek(0, 2) < offset:
            raise UserError(f"{path} is shorter than the checkpoint says: {offset} bytes", param="metrics")
        self._file.truncate(offset)
        self._file.seek(offset)

    def write(self, report: StepReport, *, seconds: float, **more: float | str) -> Line:
        """One line, which is given back. seconds: that the step took, its samples included; the only fields that
        another run of the same recipe does not repeat are this one and ids_per_second. more: what the stage knows
        besides, such as its mean reward."""
        line: Line = {
            "step": report.step, "loss": report.loss, "norm": report.norm, "rate": report.rate,
            "tokens": report.tokens, "skipped": report.skipped, **report.metrics, **more,
            "seconds": round(seconds, 4), "ids_per_second": round(report.tokens / max(seconds, 1e-9), 1),
        }  # fmt: skip
        self._file.write(json.dumps(line).encode() + b"\n")  # a loss that is nan is written as NaN, as Python reads it
        return line

    @property
    def offset(self) -> int:
        """Bytes so far, all on disk."""
        self._file.flush()
        return self._file.tell()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def read(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class ProgressLine:
    """`sft 120/400 | loss 1.284 | 3.4k ids/s | rate 8.0e-04 | norm 0.71 | 2 min left`, in place on a terminal."""

    def __init__(
        self, name: str, steps: int, *, first: int = 0, out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """first: the step that the run goes on from, 0 for a new one."""
        self._name, self._steps, self._first = name, steps, first
        self._out, self._clock = out or sys.stderr, clock
        self._began, self._tokens, self._skipped = clock(), 0, 0
        self._shown = -EVERY

    def show(self, report: StepReport, **more: float) -> None:
        """more: further numbers of the stage, shown after the loss."""
        self._tokens += report.tokens
        self._skipped += bool(report.skipped)
        now, done = self._clock() - self._began, report.step + 1
        last, terminal = done == self._steps, self._out.isatty()
        if not (last or terminal or now - self._shown >= EVERY):
            return
        self._shown = now
        left = now / (done - self._first) * (self._steps - done)
        parts = [f"{self._name} {done}/{self._steps}", f"loss {report.loss:.4g}"]
        parts += [f"{name.replace('_', ' ')} {value:.3g}" for name, value in more.items()]
        parts += [f"{short(self._tokens / max(now, 1e-9))} ids/s", f"rate {report.rate:.1e}", f"norm {report.norm:.2g}"]
        parts += [f"{self._skipped} skipped"] * bool(self._skipped)
        parts.append(f"took {duration(now)}" if last else f"{duration(left)} left")
        line = " | ".join(parts)
        self._out.write(f"\r\x1b[K{line}" + "\n" * last if terminal else line + "\n")
        self._out.flush()


def short(number: float) -> str:
    """1234 -> 1.2k"""
    for unit in ("", "k", "M", "G"):
        if number < 999.5:
            return f"{number:.3g}{unit}" if number < 99.95 or unit else f"{number:.0f}"
        number /= 1000
    return f"{number:.3g}T"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def by_step(paths: Iterable[Path]) -> list[Path]:
    """What is called step-000123, by that number: after a million steps names have more digits."""
    return sorted(paths, key=lambda path: int(path.stem.removeprefix("step-")))
