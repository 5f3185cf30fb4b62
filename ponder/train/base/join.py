"""Texts of several stages as one."""

import shutil

from msgspec import field

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.train.stage import TEXT, Context, Stage


class Join(Stage, frozen=True, kw_only=True, tag="join"):
    from_: tuple[str, ...] = field(name="from")
    """Stages that made texts, one after the other."""

    def __post_init__(self) -> None:
        if not self.from_:
            raise UserError("nothing to join: from is a list of stages", param="from")

    def parents(self) -> dict[str, str]:
        return {f"from {n}": name for n, name in enumerate(self.from_)}

    def run(self, ctx: Context) -> None:
        with replacing(ctx.folder / TEXT) as out:
            for role in self.parents():
                with (ctx.parents[role] / TEXT).open("rb") as text:
                    shutil.copyfileobj(text, out)
