"""`ponder rm NAME`: delete a downloaded model, whole or half."""

import argparse
import sys

from ponder.core.errors import UserError

DESCRIPTION = "Delete a downloaded model."
NOTES = "Asks first, unless --yes is given. Only downloads are deleted, never a folder or a file of yours."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a model that `ponder list` shows as downloaded")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    from ponder.cli.progress import amount
    from ponder.model.fetch import remove
    from ponder.model.names import resolve
    from ponder.model.store import size_of, slot

    name = resolve(args.name)
    if name.path is not None:
        raise UserError(f"{args.name} is not a download of Ponder's; delete it yourself")
    if slot(name).is_dir() and not args.yes:
        if not sys.stdin.isatty():
            raise UserError("this asks before it deletes, and there is no terminal to ask; give --yes")
        print(f"Delete {args.name} ({amount(size_of(slot(name)))})? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was deleted", file=sys.stderr)
            return 1
    print(f"freed {amount(remove(name))}")
    return 0
