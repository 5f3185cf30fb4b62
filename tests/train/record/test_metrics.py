"""metrics.jsonl goes on where a checkpoint was, and the progress line says how long the rest takes."""

import io
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.train.record.metrics import Metrics, ProgressLine, duration, read, short
from ponder.train.step import StepReport


def report(step: int, tokens: int = 100) -> StepReport:
    return StepReport(step=step, loss=2.5, norm=0.5, rate=1e-3, tokens=tokens, skipped="", metrics={"nll": 2.25})


def test_a_run_that_goes_on_writes_no_step_twice(tmp_path: Path) -> None:
    path = tmp_path / "stage" / "metrics.jsonl"
    with Metrics(path) as first:
        first.write(report(0), seconds=0.5, reward=0.5)
        offset = first.offset
        first.write(report(1), seconds=0.5)
        first.write(report(2), seconds=0.5)  # after the checkpoint: lost with it
    with Metrics(path, offset) as again:
        again.write(report(1), seconds=0.25, reward=0.75)
    lines = read(path)
    assert [line["step"] for line in lines] == [0, 1] and lines[1]["reward"] == 0.75 and lines[0]["nll"] == 2.25
    assert lines[1]["seconds"] == 0.25 and lines[1]["ids_per_second"] == 400.0
    with Metrics(path):
        pass
    assert read(path) == []
    with pytest.raises(UserError, match="shorter than the checkpoint"):
        Metrics(path, 10)


def test_progress_counts_time_from_where_it_went_on() -> None:
    now, out = [0.0], io.StringIO()
    line = ProgressLine("sft", 10, first=4, out=out, clock=lambda: now[0])
    for step in range(4, 10):
        now[0] += 30
        line.show(report(step), reward=0.5)
    lines = out.getvalue().splitlines()
    assert lines[0] == "sft 5/10 | loss 2.5 | reward 0.5 | 3.33 ids/s | rate 1.0e-03 | norm 0.5 | 2 min left"
    assert lines[-1].endswith("took 3 min") and len(lines) == 6


def test_progress_is_quiet_between_lines_where_nobody_watches() -> None:
    now, out = [0.0], io.StringIO()
    line = ProgressLine("sft", 100, out=out, clock=lambda: now[0])
    for step in range(100):
        now[0] += 1
        line.show(report(step))
    assert len(out.getvalue().splitlines()) == 11  # one at once, one every 10 seconds, the last


def test_short_numbers() -> None:
    assert [short(n) for n in (3.333, 99.94, 100, 999.4, 999.6, 1234, 2.5e7)] == [
        "3.33", "99.9", "100", "999", "1k", "1.23k", "25M",
    ]  # fmt: skip
    assert [duration(s) for s in (5, 100, 7200)] == ["5 s", "2 min", "2.0 h"]
