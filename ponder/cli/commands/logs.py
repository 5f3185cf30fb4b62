"""`ponder logs [WORDS...]`: what was said in terminals and in the page, found again, shown, exported."""

import argparse
import json
import sys
from pathlib import Path

from ponder.core.errors import UserError

DESCRIPTION = "List, search, show and export chats."
NOTES = """\
Chats of the terminal and of the page are one list, newest first; what belongs to a key of a server is seen with that
key alone. WORDS leave those whose title, tags or texts hold them. `ponder run --chat ID` goes on with one.

examples:
  ponder logs                             the last twenty
  ponder logs lighthouse                  those that speak of it
  ponder logs --show 1                    the newest one, as Markdown
  ponder logs --export chats.json         all; the page's Import reads them
  ponder logs lighthouse --export l.md    those, for people
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORDS", help="what the chats shall hold")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many are listed (default: 20)")
    parser.add_argument("--show", metavar="ID", help="one of them in full: a number of the list, or its id")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write them all into a new .json or .md file")
    parser.add_argument("--json", action="store_true", help="machine-readable")


def run(args: argparse.Namespace) -> int:
    from ponder.cli.terminal.kept import KeptChat, listed
    from ponder.cli.terminal.printer import note, visible
    from ponder.model.hub.data_folder import chats
    from ponder.server.web.export import as_markdown

    kept = KeptChat(lambda: chats(note))
    if args.show is not None:
        chat = kept.store.get(kept.named(args.show))
        text = json.dumps(chat, ensure_ascii=False, indent=1) + "\n" if args.json else as_markdown(chat)
        print(visible(text) if sys.stdout.isatty() else text, end="")
        return 0
    found = kept.all(" ".join(args.words))
    if args.export is not None:
        export([kept.store.get(row["id"]) for row in found], args.export)
        note(f"{len(found)} chats in {args.export}")
        return 0
    if args.json:
        print(json.dumps(found[: args.limit], ensure_ascii=False))
        return 0
    for line in listed(found, kept.all())[: args.limit]:
        print(visible(line))
    if not found:
        note("no chat holds that" if args.words else "no chat yet")
    return 0


def export(found: "list[dict[str, object]]", path: Path) -> None:
    from ponder.core.atomic import replacing
    from ponder.server.web.export import as_markdown

    if path.exists():
        raise UserError(f"{path} exists; choose another name", param="export")
    if path.suffix not in (".json", ".md"):
        raise UserError(f"{path}: the name tells the form, .json or .md", param="export")
    text = "\n".join(map(as_markdown, found)) if path.suffix == ".md" else json.dumps(found, ensure_ascii=False)
    with replacing(path) as file:
        file.write(text.encode())
