"""`ponder rm NAME`: delete a downloaded model, whole or half; `ponder rm --packed`: only what was made from it."""

import argparse
import sys
from pathlib import Path

from ponder.core.errors import UserError

DESCRIPTION = "Delete a downloaded model, or the converted weights that are kept for a faster start."
NOTES = """\
Asks first, unless --yes is given. Only what Ponder downloaded or made is deleted, never a folder or a file of yours.
--packed deletes the converted weights alone: those of MODEL (a name or a path), or all of them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a model that `ponder list` shows as downloaded")
    parser.add_argument("--packed", action="store_true", help="only the converted weights, of NAME or of every model")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    from ponder.cli.terminal.progress import amount
    from ponder.model.hub.fetch import remove
    from ponder.model.hub.registry import resolve
    from ponder.model.hub.store import size_of, slot
    from ponder.model.weights.cache_list import cached_weights, remove_cached_weights

    if args.packed:
        files = cached_weights(where(args.name) if args.name else None)
        if not files:
            raise UserError(f"no converted weights are kept{f' of {args.name}' if args.name else ''}", param="packed")
        if not sure(f"{len(files)} converted files ({amount(sum(f.nbytes for f in files))})", args.yes):
            return 1
        print(f"freed {amount(remove_cached_weights(files))}")
        return 0
    if not args.name:
        raise UserError("name a model, or give --packed", param="name")
    name = resolve(args.name)
    if name.path is not None:
        raise UserError(
            f"{args.name} is not a download of Ponder's; delete it yourself (--packed deletes what was made from it)"
        )
    if slot(name).is_dir() and not sure(f"{args.name} ({amount(size_of(slot(name)))})", args.yes):
        return 1
    print(f"freed {amount(remove(name))}")
    return 0


def where(text: str) -> Path:
    """The folder or .gguf file of a model that is here."""
    from ponder.model.hub.registry import resolve
    from ponder.model.hub.store import here

    path = here(resolve(text))
    if path is None:
        raise UserError(f"{text} is not downloaded", param="name")
    return path


def sure(what: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UserError("this asks before it deletes, and there is no terminal to ask; give --yes")
    print(f"Delete {what}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("nothing was deleted", file=sys.stderr)
    return False
