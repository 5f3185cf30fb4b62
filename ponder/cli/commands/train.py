"""`ponder train`: a recipe from text to a model that chats."""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from ponder.core.errors import UserError

DESCRIPTION = "Train a model by a recipe: text, tokenizer, pre-training, tuning, reinforcement learning, evaluation."
NOTES = """examples:
  ponder train recipes/smoke.toml                       every stage, in runs/train/smoke
  ponder train recipes/tiny.toml --dry-run              parameters, ids, memory, minutes
  ponder train recipes/smoke.toml --until base          as far as the stage base
  ponder train inspect recipes/smoke.toml --stage sft   what a stage learns from
  ponder train ladder recipes/ladder/small.toml         a law of rate, batch and loss from small models
  ponder train package recipes/mini/card.toml --to mini   a folder to give away: weights, card, hashes

The same command goes on where it was interrupted; stages that are finished are skipped.
docs/train.md explains recipes and stages."""
WORDS = ("inspect", "ladder", "package")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="+",
        metavar="[WORD] RECIPE",
        help="a recipe; inspect or ladder and one; package and a card",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the stages lie (default: runs/train/NAME)")
    parser.add_argument("--from", dest="from_", metavar="STAGE", help="do this stage and those after it again")
    parser.add_argument("--until", metavar="STAGE", help="the last stage to do")
    parser.add_argument("--accept", action="append", default=[], metavar="FIELD",
                        help="go on from a checkpoint of another recipe that differs in this field")  # fmt: skip
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="parameters, ids, memory, minutes of each stage, from 20 seconds of steps",
    )
    parser.add_argument("--hours", type=float, metavar="H",
                        help="scale all steps so that the whole takes so long on this machine")  # fmt: skip
    parser.add_argument("--shrink", action="store_true",
                        help="all stages of a large recipe in a minute: narrow, two layers, two steps")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N",
                        help="of torch (default: 1 for models up to 128 wide, else all cores)")  # fmt: skip
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="package: the folder to make (default: dist/NAME)")
    parser.add_argument("--stage", metavar="STAGE", help="inspect, package: which one")
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="inspect: how many samples (default: 4)")


def run(args: argparse.Namespace) -> int:
    word = args.words[0] if len(args.words) > 1 and args.words[0] in WORDS else ""
    recipes = args.words[1:] if word else args.words
    if len(recipes) != 1:
        raise UserError("name one RECIPE, a file such as recipes/smoke.toml", param="recipe")
    if find_spec("torch") is None:
        raise UserError("training needs PyTorch: pip install 'ponder-llm[train]'", param="torch")
    if args.threads is not None and args.threads < 1:
        raise UserError(f"--threads must be 1 or more, got {args.threads}", param="threads")
    if args.hours is not None and not 0 < args.hours < float("inf"):
        raise UserError(f"--hours must be above 0, got {args.hours:g}", param="hours")
    # before torch is loaded: its threads spin while they wait, and where another program has one of the cores a step
    # of a small model then took ten times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if word == "package":
        from ponder.train.package.package import package

        package(Path(recipes[0]), args.out, args.to, args.stage)
        return 0
    from ponder.train.recipe.command import inspect, ladder, train

    if word == "ladder":
        return ladder(Path(recipes[0]), args.out, threads=args.threads)
    if word == "inspect":
        return inspect(Path(recipes[0]), args.out, stage=args.stage, count=args.samples)
    return train(Path(recipes[0]), args.out, from_=args.from_, until=args.until, accept=args.accept,
                 threads=args.threads, dry_run=args.dry_run, hours=args.hours, shrink=args.shrink)  # fmt: skip
