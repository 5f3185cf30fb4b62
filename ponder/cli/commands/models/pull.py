"""`ponder pull NAME`: download a model, or go on with a download that was interrupted."""

import argparse

from ponder.core.errors import UserError

DESCRIPTION = "Download a model."
NOTES = """\
NAME is one that `ponder list` shows, or a repository: hf:owner/name, ms:owner/name (ModelScope), owner/name (the one
that can be reached), each with /FILE.gguf for a single GGUF file. A download that was interrupted goes on where it
stopped. The last line on stdout is the path.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the model")


def run(args: argparse.Namespace) -> int:
    from ponder.cli.model_files import locate
    from ponder.model.hub.registry import resolve

    if resolve(args.name).path is not None:
        raise UserError(f"{args.name} is here already; there is nothing to download")
    print(locate(args.name))
    return 0
