"""The kernel tests once more under ASan and UBSan (slow: a build of its own)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("g++") is None or sys.platform != "linux", reason="needs g++ with libasan")
def test_no_sanitizer_speaks() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sanitize.py"))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
