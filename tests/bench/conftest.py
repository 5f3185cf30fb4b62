"""The scripts of bench/ are imported as they run: from their own folders."""

import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"
for folder in (BENCH, BENCH / "peers"):
    sys.path.insert(0, str(folder))
