"""A file of conversations to tune with (`train.select.conversations` says what is in it)."""

import hashlib
from pathlib import Path

from ponder.core.errors import UserError
from ponder.train.select import conversations
from ponder.train.stage import Context, Stage


class Conversations(Stage, frozen=True, kw_only=True, tag="conversations"):
    file: str
    """One conversation a line; a relative one begins where the command runs."""
    sha256: str = ""
    """Of the file, for a recipe that others run: another file is refused."""
    times: int = 1
    """How often each is there: a few that shall not drown among many others."""

    def __post_init__(self) -> None:
        if self.times < 1:
            raise UserError(f"times = {self.times}: 1 or more", param="times")

    def run(self, ctx: Context) -> None:
        path = Path(self.file)
        found = conversations.read(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if self.sha256 not in ("", digest):
            raise UserError(
                f"stage {self.name}: {path} has sha256 {digest}, the recipe wants {self.sha256}: correct the recipe if "
                "the new file is meant",
                param="sha256",
            )
        count = conversations.write(ctx.folder / conversations.CONVERSATIONS, found * self.times)
        ctx.say(f"{self.name}: {count} conversations, sha256 {digest}")
