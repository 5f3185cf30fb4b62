"""`ponder learn`: an adapter from sessions that you choose."""

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.train.learn.adapter import Tried

DESCRIPTION = "Learn from sessions that you choose: an adapter, tried beside the model, and used if you agree."
NOTES = """\
FILE is a log of `ponder agent --session`, or conversations, one a line: {"messages": [...]}, with "rating": "down" for
those to leave out, or "edited": "..." for a better last answer. Nothing is read that is not named here; what is taken
of each file is told before anything is learned.

One conversation in five is held out: how well the model foresees its answers is told before and after. Then you are
asked. OUT/adapter is what is in use, OUT/adapter-before the one before it.

examples:
  ponder learn qwen3:0.6b monday.jsonl tuesday.jsonl notes.jsonl
  ponder run qwen3:0.6b --adapter runs/learn/adapter "..."
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the model that learns: a name, a folder or a .gguf file")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="sessions and conversations to learn from")
    parser.add_argument("--out", type=Path, default=Path("runs/learn"), metavar="FOLDER",
                        help="where the adapter is kept (default: runs/learn)")  # fmt: skip
    parser.add_argument("--steps", type=int, default=60, metavar="N", help="steps of tuning (default: 60)")
    parser.add_argument("--rank", type=int, default=16, metavar="R", help="rank of the adapter (default: 16)")
    parser.add_argument("--rate", type=float, default=2e-4, metavar="X", help="learning rate (default: 2e-4)")
    parser.add_argument("--unpack", action="store_true", help="take packed weights (int8, GGUF) as numbers")
    parser.add_argument("--yes", action="store_true", help="use the adapter without being asked, if it is better")


def run(args: argparse.Namespace) -> int:
    if find_spec("torch") is None:
        raise UserError("training needs PyTorch: pip install 'ponder-llm[train]'", param="torch")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from ponder.train.learn.adapter import learn

    used = learn(args.model, args.files, args.out, steps=args.steps, rank=args.rank, rate=args.rate,
                 unpack=args.unpack, log=sys.stderr, agreed=lambda tried: _agreed(tried, args.yes))  # fmt: skip
    print("nothing was changed" if used is None else f"in use: ponder run {args.model} --adapter {used}")
    return 0


def _agreed(tried: "Tried", yes: bool) -> bool:
    better = tried.after < tried.before
    print(f"{tried.answers} held-out answers: {tried.before:.3f} nats an id before, {tried.after:.3f} after: "
          + ("better" if better else "not better"), file=sys.stderr)  # fmt: skip
    if yes:
        return better
    if not sys.stdin.isatty():
        print("nobody to ask: --yes uses it where it is better", file=sys.stderr)
        return False
    return input("use it from now on? [y/N] ").strip().lower() in ("y", "yes")
