"""What the flags of `options.add_chat_flags` say: whether a chat is kept, and which one it goes on with."""

import argparse
import sys
from typing import TYPE_CHECKING

from ponder.cli.terminal.printer import note
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.cli.terminal.kept import KeptChat
    from ponder.cli.terminal.session import ChatSession


class WantedChat:
    """always: a conversation in a terminal is kept, too. An answer that goes into a pipe or a file is not, unless it
    goes on with a chat. Raises UserError for a chat that is not there, before a model is loaded."""

    def __init__(self, args: argparse.Namespace, *, always: bool) -> None:
        goes_on = args.go_on or args.chat is not None
        if args.no_log and goes_on:
            raise UserError("--no-log keeps nothing, so it cannot go on with a chat", param="no-log")
        self.kept = None if args.no_log or not (always or goes_on or sys.stdout.isatty()) else _kept()
        self.id: str | None = None
        if goes_on and self.kept is not None:
            self.id = self.kept.named("1" if args.chat is None else args.chat)

    def begin(self, session: "ChatSession") -> None:
        """A system text that was given holds."""
        session.kept = self.kept
        if self.id is not None:
            from ponder.cli.terminal.chat_commands import in_short

            given = session.system
            session.go_on(self.id)
            session.system = session.system if given is None else given
            note(in_short(session))


def _kept() -> "KeptChat":
    from ponder.cli.terminal.kept import KeptChat
    from ponder.model.hub.data_folder import chats

    return KeptChat(lambda: chats(note))
