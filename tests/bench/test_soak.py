"""The soak test, short in the default run: nothing is stuck, lost or left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
def test_a_short_soak() -> None:
    command = [sys.executable, str(ROOT / "bench" / "soak.py"), "--minutes", "0.1", "--streams", "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["problems"] == [] and found["free_blocks"] == found["blocks"]
    assert found["whole"] > 0 and found["ids"] > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_soak_of_five_minutes() -> None:
    command = [sys.executable, str(ROOT / "bench" / "soak.py"), "--minutes", "5", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
