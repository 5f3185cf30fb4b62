"""Runs the kernel tests on a build with the address and undefined-behaviour sanitizers.

    python tests/kernels/sanitize.py [pytest arguments]

Needs g++ (its libasan), cmake and ninja; builds in build/sanitize, about a minute, then the tests run slowly.
Exits with 0 when every test passed and no sanitizer spoke.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "sanitize"

# The sanitized extension takes the place of the installed one before anything imports it.
RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("ponder.kernels._native", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["ponder.kernels._native"] = module
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def library(name: str) -> str:
    return subprocess.run(
        ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    ).stdout.strip()


def main() -> int:
    options = [f"-DPython_EXECUTABLE={sys.executable}", "-DPONDER_SANITIZE=ON"]
    subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", BUILD, *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD], check=True)
    (extension,) = BUILD.glob("_native*.so")
    # libstdc++ too: the sanitizer looks up its `throw` at start, and Python itself does not load it
    preload = " ".join(library(name) for name in ("libasan.so", "libstdc++.so"))
    env = {**os.environ, "LD_PRELOAD": preload, "ASAN_OPTIONS": "detect_leaks=0"}  # Python itself leaks
    # a child process would load the plain extension under the preloaded library; torch breaks under it
    skip = ["-k", "not torch and not forked and not missing and not swiglu and not test_route"]
    tests = [str(Path(__file__).parent), "-p", "no:cacheprovider", "-m", "not slow", *skip, *sys.argv[1:]]
    return subprocess.run([sys.executable, "-c", RUN, str(extension), *tests], env=env, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
