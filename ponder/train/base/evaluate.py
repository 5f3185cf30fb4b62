"""What a base model knows: bits per byte of held-out text, and whether it finds a key in a long one."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct, field

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.shards.read import Shards
from ponder.train.base.bits import Bits, Line, measure, table
from ponder.train.base.lengths import WAYS, Found, Way, retrieve
from ponder.train.stage import SHARDS, Context, Stage

RESULT = "base.json"
PAGE = "base.md"
FACTORS = (1, 2, 4)


class Result(Struct, kw_only=True):
    trained: int
    """Positions of the model."""
    bits: list[Bits]
    found: list[Found]


class EvaluateBase(Stage, frozen=True, kw_only=True, tag="eval-base"):
    from_: str = field(name="from")
    """A stage whose model is measured."""
    shards: str
    """The stage with the text that was held out."""
    sequence: int | None = None
    """Ids of a piece of text; as many as the model has positions."""
    ids: int = 20_000
    """Of each kind of document, at most."""
    retrieval: tuple[int, ...] | None = None
    """Lengths at which a key is looked for: once, twice and four times the model's own. Empty: none."""
    ways: tuple[Way, ...] = WAYS
    problems: int = 50
    """At each length."""

    def __post_init__(self) -> None:
        if self.ids < 1 or self.problems < 1:
            raise UserError("ids and problems must be 1 or more", param="ids")
        if any(length < 64 for length in self.retrieval or ()):
            raise UserError("a text to look for a key in has 64 ids or more", param="retrieval")

    def parents(self) -> dict[str, str]:
        return {"from": self.from_, "shards": self.shards}

    def run(self, ctx: Context) -> None:
        """base.json and base.md."""
        model, tokenizer = ctx.model(), ctx.tokenizer()
        shards = Shards.open(ctx.parents["shards"] / SHARDS, tokenizer)
        trained = model.max_context
        if self.sequence is not None and not 2 <= self.sequence <= trained:
            raise UserError(f"sequence is {self.sequence}, the model has {trained} positions", param="sequence")
        sequence = self.sequence or trained
        bits = measure(model, tokenizer, shards, sequence=sequence, ids=self.ids, tick=ctx.tick)
        if not bits:
            raise UserError("nothing is held out: give the shards held_out, or held_out_sources", param="held_out")
        lengths = [n * trained for n in FACTORS] if self.retrieval is None else self.retrieval
        keys = retrieve(model, tokenizer, lengths, self.problems, ctx.seed, self.ways, tick=ctx.tick)
        made = Result(trained=trained, bits=bits, found=list(keys))
        with replacing(ctx.folder / RESULT) as file:
            file.write(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
        with replacing(ctx.folder / PAGE) as file:
            file.write(markdown({self.name: made}).encode())
        ctx.say("\n".join(f"  {line.name}: {line.bits_per_byte:.3f} bits per byte" for line in table(bits)))


def load(folder: Path) -> Result:
    return msgspec.json.decode((folder / RESULT).read_bytes(), type=Result)


def markdown(results: dict[str, Result]) -> str:
    """Tables with a column for each stage that measured."""
    tables = {name: {line.name: line for line in table(result.bits)} for name, result in results.items()}
    names = list(dict.fromkeys(name for lines in tables.values() for name in lines))
    rows = [[name, *(_bits(lines.get(name)) for lines in tables.values())] for name in names]
    parts = ["## Bits per byte of held-out text", "", *_table(["text", *tables], rows)]
    cells = {name: {(f.length, f.way): f for f in result.found} for name, result in results.items()}
    if keys := sorted({key for found in cells.values() for key in found}, key=lambda k: (k[0], WAYS.index(k[1]))):
        rows = [
            [str(length), way, *(_share(found.get((length, way))) for found in cells.values())] for length, way in keys
        ]
        heads = [f"{name} (trained at {result.trained})" for name, result in results.items()]
        parts += ["", "## A key in a long text, percent found (nats an id)", "", *_table(["ids", "read", *heads], rows)]
    return "\n".join(parts) + "\n"


def _bits(line: Line | None) -> str:
    return "" if line is None else f"{line.bits_per_byte:.3f}"


def _share(found: Found | None) -> str:
    return "" if found is None else f"{100 * found.share:.0f} ({found.nats:.2f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
