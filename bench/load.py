"""How long a model takes to load and how much memory that takes at its peak.

    python bench/load.py PATH [DTYPE ...] [--repeat N]

One JSON line for each dtype (default: auto): the median seconds of N fresh processes that only load (imports not
counted), the largest resident memory of any of them (VmHWM, so Linux only; it counts file pages while they are mapped
in), the bytes of the weights, and the load average, since a busy machine is slower.
"""

import argparse
import json
import os
import subprocess
import sys
from statistics import median

CHILD = """
import json, sys, time
from ponder.kernels import native
from ponder.model.load import load
start = time.perf_counter()
model = load(sys.argv[1], dtype=sys.argv[2])
seconds = time.perf_counter() - start
with open("/proc/self/status") as f:
    peak = next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))
print(json.dumps([seconds, peak, model.nbytes]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("dtypes", nargs="*", default=["auto"])
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    for dtype in args.dtypes:
        command = [sys.executable, "-c", CHILD, args.path, dtype]
        runs = [
            json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) for _ in range(args.repeat)
        ]
        row = {
            "path": os.path.basename(os.path.normpath(args.path)),
            "dtype": dtype,
            "seconds": round(median(run[0] for run in runs), 2),
            "peak_mb": round(max(run[1] for run in runs) / 1e6),
            "weights_mb": round(runs[0][2] / 1e6),
            "load_average": round(os.getloadavg()[0], 1),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
