"""Progress of long work on stderr: a bar on a terminal, a plain line every few seconds elsewhere.

    with progress("loading", "B") as tick:
        build(checkpoint, ops, progress=tick)

The rooms below report progress through a plain callback and know nothing of terminals.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

Tick = Callable[[int, int], None]  # done so far, in all (0: not known)
QUIET_SECONDS = 3.0


@contextmanager
def progress(label: str, unit: str = "") -> Iterator[Tick]:
    """Yield tick(done, total). unit "B" shows sizes and speed."""
    with _bar(label, unit) if sys.stderr.isatty() else _lines(label, unit) as tick:
        yield tick


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Tick]:
    """The bar appears with the first tick: work that turns out to be done already shows none."""
    started: list[Progress] = []

    def start() -> "Progress":
        from rich import progress as rich
        from rich.console import Console

        count = rich.DownloadColumn() if unit == "B" else rich.MofNCompleteColumn()
        columns = (rich.TextColumn(label), rich.BarColumn(), count, rich.TimeRemainingColumn())
        bars = rich.Progress(*columns, console=Console(stderr=True), transient=True)
        bars.start()
        bars.add_task(label, total=None)
        started.append(bars)
        return bars

    def tick(done: int, total: int) -> None:
        bars = started[0] if started else start()
        bars.update(bars.task_ids[0], completed=done, total=total or None)

    try:
        yield tick
    finally:
        for bars in started:
            bars.stop()


@contextmanager
def _lines(label: str, unit: str) -> Iterator[Tick]:
    last = time.monotonic()

    def tick(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= QUIET_SECONDS:
            last = time.monotonic()
            so_far = f"{amount(done, unit)} of {amount(total, unit)}" if total else amount(done, unit)
            print(f"{label}: {so_far}", file=sys.stderr, flush=True)

    yield tick


def amount(n: float, unit: str = "B") -> str:
    """1234567890 -> "1.23 GB"; decimal prefixes, as file sizes and download sizes are quoted."""
    if unit != "B":
        return f"{n:,.0f} {unit}".rstrip()
    power = min(4, (len(str(int(n))) - 1) // 3)
    if power == 0:
        return f"{int(n)} B"
    n /= 1000**power
    return f"{n:.{max(0, 3 - len(str(int(n))))}f} {('', 'k', 'M', 'G', 'T')[power]}B"
