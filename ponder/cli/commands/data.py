"""`ponder data`: text from files and packages, clean and without repetitions, with a report."""

import argparse
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from ponder.core.errors import UserError

DESCRIPTION = "Make text to learn from: read, mended, judged, scrubbed, without repetitions, with a report."
NOTES = """examples:
  ponder data recipes/data/packaged.toml --sample 5MB   a sample of every source, in runs/data/packaged
  ponder data my.toml --out clean --workers 8           everything, by eight processes

The same command goes on where it was interrupted; lots of files that are finished are not read again.
docs/data.md explains recipes, steps and the report."""

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a file such as recipes/data/packaged.toml")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where everything goes (default: runs/data/NAME)")
    parser.add_argument(
        "--sample", metavar="SIZE", help="read about so much in all, such as 5MB, from every source alike"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), metavar="N",
                        help="processes (default: one a CPU)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    if find_spec("rensa") is None:
        raise UserError("ponder data needs more packages: pip install 'ponder-llm[data]'", param="recipe")
    if args.workers < 1:
        raise UserError(f"--workers must be 1 or more, got {args.workers}", param="workers")
    from ponder.data.recipe import read_recipe
    from ponder.data.report import markdown
    from ponder.data.run import PAGE, TEXT, make
    from ponder.model.hub.huggingface import data_set

    sample = None if args.sample is None else bytes_of(args.sample)
    recipe = read_recipe(args.recipe)
    out = args.out or Path("runs/data") / recipe.name
    report = make(recipe, out, sample=sample, workers=args.workers, say=_say, hub=data_set)
    print(markdown(report))
    _say(f"text: {out / TEXT}, sha256 {report.sha256}\nreport: {out / PAGE}")
    return 0


def bytes_of(size: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|)", size.strip().upper())
    if match is None or float(match[1]) == 0:
        raise UserError(f"a size is a number with KB, MB or GB, such as 5MB, not {size!r}", param="sample")
    return int(float(match[1]) * UNITS[match[2]])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
