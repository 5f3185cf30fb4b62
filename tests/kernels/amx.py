"""AMX for tests on a CPU that has none: the emulator, compiled and installed once in a process.

On a CPU with AMX nothing is installed and the same tests run real instructions (see docs/kernels.md).
"""

import functools
import shutil
import subprocess
import tempfile
from ctypes import CDLL
from pathlib import Path

import pytest

from ponder.kernels import native

HERE = Path(__file__).parent
FLAGS = ["-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-shared", "-fPIC"]

CPU_HAS_AMX = "amx" in native.available_isas()
# The amx table is AVX-512 with bf16 besides its tiles.
CPU_CAN_EMULATE = not CPU_HAS_AMX and "avx512bf16" in native.available_isas() and shutil.which("g++") is not None
needs_amx = pytest.mark.skipif(not (CPU_HAS_AMX or CPU_CAN_EMULATE), reason="needs AVX-512 with bf16, and g++")


@functools.cache
def compiled(source: str) -> CDLL:
    """A source file of this folder as a loaded library."""
    with tempfile.TemporaryDirectory() as folder:  # a loaded library needs its file no longer
        library = Path(folder) / "library.so"
        subprocess.run(["g++", *FLAGS, str(HERE / source), "-o", str(library)], check=True)
        return CDLL(str(library))


def install() -> None:
    """From now on AMX instructions work in this process."""
    if not CPU_HAS_AMX:
        assert compiled("amx_emulator.cpp").install() == 0
