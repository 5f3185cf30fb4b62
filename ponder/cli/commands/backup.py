"""`ponder backup FILE` and `ponder restore FILE`: chats, keys, usage and workspaces in one file, and back.

ponder backup ponder-$(date +%F).tar.gz
PONDER_HOME=/srv/ponder-new ponder restore ponder-2026-11-30.tar.gz
"""

import argparse
from pathlib import Path

DESCRIPTION = {
    "backup": "Copy chats, keys, usage and workspaces into one file, while the server runs.",
    "restore": "Put a backup into a folder that has nothing yet.",
}
NOTES = """\
Models are not in it: they can be downloaded again. The file can be read by its owner alone: it holds what people asked.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a .tar.gz file")
    parser.set_defaults(restores=parser.prog.endswith("restore"))


def run(args: argparse.Namespace) -> int:
    from ponder.model.hub.data_folder import data_home
    from ponder.server.backup import restore, write

    data = data_home()
    if args.restores:
        print(f"{data}: {', '.join(restore(args.file, data))}")
    else:
        names = write(data, args.file)
        print(f"{args.file}: {', '.join(names)} ({args.file.stat().st_size:,} bytes)")
    return 0
