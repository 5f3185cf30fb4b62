"""`ponder key`: named keys of a server, made, listed, limited and taken away while it runs.

ponder key create alice
ponder key create ops --admin
ponder key limit alice --tokens-per-day 200000
ponder key list
ponder key usage
ponder key revoke alice
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ponder.cli.terminal.printer import note
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.server.accounts.book import KeyBook

DESCRIPTION = "Named keys of `ponder serve`, each with its own chats, files and limits."
NOTES = """\
A server reads the keys again when they changed; with the first one it is closed to whoever has none. Only hashes are
kept: a key is shown when it is made, and never again. A name outlives its key: who gets a new one finds the old chats.
Days are those of UTC.
"""

NONE = "There are no keys: `ponder key create NAME` makes one."
NOBODY = "There are no keys any more, and a server lets nobody in: `ponder key create NAME` makes one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("create", "limit", "list", "revoke", "usage"), metavar="ACTION",
                        help="create, limit, list, revoke or usage")  # fmt: skip
    parser.add_argument("name", nargs="?", help="whose key it is: letters, digits, . _ @ and -")
    parser.add_argument("--admin", action="store_true",
                        help="create: may also manage models and see everybody's usage")  # fmt: skip
    parser.add_argument("--requests-per-day", type=int, metavar="N",
                        help="create, limit: requests at most (default: no limit)")  # fmt: skip
    parser.add_argument("--tokens-per-day", type=int, metavar="N",
                        help="create, limit: tokens of prompts and replies at most (default: no limit)")  # fmt: skip
    parser.add_argument("--days", type=int, default=7, metavar="N", help="usage: how many (default: 7)")
    parser.add_argument("--file", metavar="FILE", help="of the keys (default: keys.json beside the chats)")


def run(args: argparse.Namespace) -> int:
    from ponder.model.hub.data_folder import data_home, private
    from ponder.server.accounts.book import KeyBook

    book = KeyBook(Path(args.file) if args.file else private(data_home()) / "keys.json")
    if (args.name is None) == (args.action in ("create", "limit", "revoke")):
        wants = "needs a NAME" if args.name is None else "takes no name"
        raise UserError(f"ponder key {args.action} {wants}", param="name")
    match args.action:
        case "create":
            key = book.create(
                args.name, role="admin" if args.admin else "user", requests_per_day=args.requests_per_day,
                tokens_per_day=args.tokens_per_day,
            )  # fmt: skip
            note(f"The key of {args.name}; it is not shown again:")
            print(key)
        case "limit":
            book.limit(args.name, args.requests_per_day, args.tokens_per_day)
            print(f"{args.name}: {_limits(args.requests_per_day, args.tokens_per_day)}")
        case "revoke":
            book.revoke(args.name)
            print(f"The key of {args.name} opens nothing any more. The chats of {args.name} are kept.")
        case "list":
            _list(book)
        case "usage":
            _usage(book, args.days)
    return 0


def _list(book: "KeyBook") -> None:
    accounts = book.accounts()
    if not accounts:
        print(NONE if accounts is None else NOBODY)
        return
    used = {each.name: each for each in _counted(book, 1)}
    rows = [("name", "role", "since", "limits of a day", "used today")]
    for a in accounts.values():
        today = used.get(a.name)
        said = f"{today.requests:,} requests, {today.tokens:,} tokens" if today else "nothing"
        rows.append((a.name, a.role, a.created, _limits(a.requests_per_day, a.tokens_per_day), said))
    _print(rows)


def _usage(book: "KeyBook", days: int) -> None:
    found = _counted(book, days)
    if not found:
        print("Nothing was used in these days.")
        return
    rows = [("day", "name", "requests", "prompt tokens", "reply tokens")]
    rows += [(u.day, u.name, f"{u.requests:,}", f"{u.prompt_tokens:,}", f"{u.completion_tokens:,}") for u in found]
    _print(rows)


def _counted(book: "KeyBook", days: int) -> list[Any]:
    from ponder.server.accounts.keyring import Keyring
    from ponder.server.accounts.usage import Usage
    from ponder.server.config import ServerConfig

    usage = Usage(book.path.with_name("usage.sqlite"), Keyring(ServerConfig(), book))
    try:
        return usage.days(count=days)
    finally:
        usage.close()


def _limits(requests: int | None, tokens: int | None) -> str:
    limits = {"requests": requests, "tokens": tokens}
    return ", ".join(f"{number:,} {what}" for what, number in limits.items() if number is not None) or "none"


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
