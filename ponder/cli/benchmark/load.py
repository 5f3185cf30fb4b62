"""The `load` case of `ponder bench`: how long a fresh process takes from its start to the first id of an answer.

first: as things are; it may have to pack the weights and write them beside the model. cold: then, with the model's
files dropped from the page cache (where the system lets a user do that: Linux), so they are read from the disk. warm:
the starts after that. Imports, loading and a prompt of 32 ids are all in it.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ponder.engine.load_options import LoadFields

CHILD = """
import json, sys, time
path, options, started = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])
from ponder import LLM
with LLM(path, **options) as llm:
    loaded = time.time()
    llm.generate(list(range(1000, 1032)), max_tokens=1)
    print(json.dumps([loaded - started, time.time() - started]))
"""


def measure(path: Path, options: "LoadFields", rounds: int) -> dict[str, float]:
    """options: of `LLM`. Seconds; a warm number is the median of `rounds` processes."""
    first = _start(path, options)
    forget(path)
    cold = _start(path, options)
    warm = [_start(path, options) for _ in range(rounds)]
    return {
        "first_start_s": first[1],
        "cold_start_s": cold[1],
        "warm_start_s": median(answered for _, answered in warm),
        "warm_loaded_s": median(loaded for loaded, _ in warm),
    }


def _start(path: Path, options: "LoadFields") -> tuple[float, float]:
    command = [sys.executable, "-c", CHILD, str(path), json.dumps(options), repr(time.time())]
    loaded, first = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return loaded, first


def forget(path: Path) -> None:
    """Drop the pages of the model's files from memory; they are clean, so the kernel complies."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as f:
                os.fsync(f.fileno())  # pages that are still to be written cannot be dropped
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
