"""The finished model where people look for it: a Hugging Face folder that Ponder, transformers and others load."""

import shutil

from msgspec import field

from ponder.train.stage import MODEL, Context, Stage


class Export(Stage, frozen=True, kw_only=True, tag="export"):
    from_: str = field(name="from")
    """A stage that made a model."""

    def parents(self) -> dict[str, str]:
        return {"from": self.from_}

    def run(self, ctx: Context) -> None:
        target, partial = ctx.folder / MODEL, ctx.folder / f"{MODEL}.partial"
        for old in (partial, target):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(ctx.parents["from"] / MODEL, partial)
        partial.rename(target)
