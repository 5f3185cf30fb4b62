"""A text as ids, once, for all stages that read it; a part of it held out."""

from msgspec import field

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.shards.report import report
from ponder.data.shards.write import documents_of, write
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.stage import SHARDS, TEXT, TOKENIZER, Context, Stage

PAGE = "tokens.md"


class MakeShards(Stage, frozen=True, kw_only=True, tag="shards"):
    from_: str = field(name="from")
    """A stage that made a text."""
    tokenizer: str
    """A stage that made a tokenizer, or a model that has one."""
    held_out: float = 0.0
    """Share of the documents that nothing is learned from, for `eval-base`."""
    held_out_sources: tuple[str, ...] = ()
    """Sources that nothing is learned from."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise UserError(f"held_out is a share below 1, not {self.held_out}", param="held_out")

    def parents(self) -> dict[str, str]:
        return {"from": self.from_, "tokenizer": self.tokenizer}

    def run(self, ctx: Context) -> None:
        """Shards, the tokenizer they are of, and a page about how it takes each language apart."""
        tokenizer, text = ctx.tokenizer("tokenizer"), ctx.parents["from"] / TEXT
        made = write(documents_of(text), tokenizer, ctx.folder / SHARDS, held_out=self.held_out,
                     held_out_sources=self.held_out_sources)  # fmt: skip
        tokenizer_files.save(tokenizer, ctx.folder / TOKENIZER)
        with replacing(ctx.folder / PAGE) as page:
            page.write(report(documents_of(text), {"this one": tokenizer, "Qwen3": Tokenizer.packaged()}).encode())
        ctx.say(f"  {len(made.groups)} kinds of documents in {made.shards} shards, {ctx.folder / PAGE}")
