"""Progress is for people: a bar in a terminal, a line now and then elsewhere, never anything on stdout."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from ponder.cli.terminal import progress as module
from ponder.cli.terminal.progress import progress

WORK = """
import sys, time
from ponder.cli.terminal.progress import progress
with progress("loading", "B") as tick:
    for i in range(21):
        tick(i * 5_000_000, 100_000_000)
        time.sleep(0.02)
print("done")
"""


def test_a_line_every_few_seconds_where_there_is_no_terminal(monkeypatch, capsys) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    with progress("loading", "B") as tick:
        tick(1_500_000, 3_000_000)
        tick(2_000_000, 0)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "loading: 1.50 MB of 3.00 MB\nloading: 2.00 MB\n")
    monkeypatch.setattr(module, "QUIET_SECONDS", 3.0)
    with progress("loading", "B") as tick:
        for i in range(1000):
            tick(i, 1000)
    assert capsys.readouterr().err == ""


def test_a_bar_in_a_terminal_that_goes_away() -> None:
    from terminal import Terminal

    t = Terminal([sys.executable, "-c", WORK], {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}, ".")
    t.see("100.0 MB")
    t.see("done")
    assert t.ends() == 0
    assert t.text == "done"


def test_work_that_is_done_already_shows_nothing() -> None:
    code = (
        "import sys; from ponder.cli.terminal.progress import progress\n"
        "with progress('x'): pass\n"
        "assert 'rich' not in sys.modules"
    )
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, stdout=theirs, timeout=30)
    os.close(theirs)
    assert done.returncode == 0
    try:
        assert os.read(ours, 100) == b""
    except OSError:  # nothing was written before the other side was closed
        return
    finally:
        os.close(ours)
