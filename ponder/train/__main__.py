"""`python -m ponder.train RECIPE`: `ponder train` for launchers that start a module in several processes.

torchrun --nproc_per_node 2 -m ponder.train recipes/tiny.toml --out runs/train/two
"""

import argparse
import sys
from pathlib import Path

from ponder.core.errors import UserError
from ponder.train.recipe.command import train


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ponder.train", description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--from", dest="from_")
    parser.add_argument("--until")
    parser.add_argument("--accept", action="append", default=[])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--shrink", action="store_true")
    args = parser.parse_args()
    try:
        return train(args.recipe, args.out, from_=args.from_, until=args.until, accept=args.accept,
                     threads=args.threads, shrink=args.shrink)  # fmt: skip
    except UserError as e:
        print(f"ponder: {e}", file=sys.stderr)
        return 2  # as `ponder train`


if __name__ == "__main__":
    sys.exit(main())
