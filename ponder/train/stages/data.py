"""Text that `ponder data` made: by the hash of what is in it, or as it is when the stage runs."""

import hashlib
import json
import shutil
from pathlib import Path

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.run import MANIFEST
from ponder.data.run import TEXT as MADE
from ponder.train.stage import TEXT, Context, TextStage


class UseData(TextStage, frozen=True, kw_only=True, tag="data"):
    folder: str
    """That `ponder data` wrote; a relative one begins where the command runs."""
    sha256: str | None = None
    """Of its text, as the manifest and the last line of `ponder data` have it: another text is another stage. None
    takes the text that lies there; `--from` this stage takes a newer one."""
    optional: bool = False
    """Without the folder this is an empty text."""

    def run(self, ctx: Context) -> None:
        if not self._there():
            ctx.say(f"  {self.folder} is not there: without it")
            with replacing(ctx.folder / TEXT):
                return
        self.check()
        with (Path(self.folder) / MADE).open("rb") as source, replacing(ctx.folder / TEXT) as out:
            shutil.copyfileobj(source, out)

    def _there(self) -> bool:
        return Path(self.folder).exists() or not self.optional

    def check(self) -> None:
        """Raises UserError unless the folder has the text that the recipe means."""
        folder = Path(self.folder)
        try:
            made = json.loads((folder / MANIFEST).read_bytes())["text"]["sha256"]
            with (folder / MADE).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError, LookupError, TypeError) as e:
            raise UserError(
                f"stage {self.name}: {folder} holds no finished text of `ponder data`: {e}", param="folder"
            ) from e
        if found != made:
            raise UserError(f"stage {self.name}: {folder / MADE} was changed after `ponder data` made it; make it "
                            "again", param="folder")  # fmt: skip
        if self.sha256 not in (None, found):
            raise UserError(
                f"stage {self.name}: the text in {self.folder} has sha256 {found}, the recipe wants {self.sha256}: "
                "correct the recipe if the new text is meant",
                param="sha256",
            )

    def some(self, seed: int, count: int) -> list[str]:
        if not self._there():
            return []
        self.check()
        with (Path(self.folder) / MADE).open("rb") as lines:
            return [json.loads(line)["text"] for _, line in zip(range(count), lines)]
