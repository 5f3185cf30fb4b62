"""What a stage of a recipe is: a section of TOML that knows how to do what it says.

    class Tune(TrainingStage, frozen=True, kw_only=True, tag="sft"):     # tag: its `kind` in a recipe
        from_: str = field(name="from")                                  # the stage whose model it goes on from
        batch: int = 64

        def parents(self): return {"from": self.from_}
        def run(self, ctx): ...

A recipe names stages in order, `[[stage]]` with `name`, `kind` and the fields of that kind; a field that means another
stage holds its name and is in `parents()`. `recipe.read` makes the structs, `recipe.graph` runs those that are not
finished, each in a folder of its own whose name has a hash of the section, the seed and the parents' hashes.

What a stage gets is a `Context`. What it has to keep:

* It writes into `ctx.folder` only, and reads nothing else than its section, `ctx.seed` and its parents' folders: what
  made it is in the hash, and the hash is trusted. All randomness follows from `ctx.seed` (and the step).
* A model that it made is the Hugging Face folder `ctx.folder / "model"`, tokenizer files included. A stage that makes
  a tokenizer only puts its files into `ctx.folder / "tokenizer"`; text is `ctx.folder / "text.jsonl"`, a document
  (`data.document`) a line; ids of it are `ctx.folder / "shards"`.
* `run` returns when everything is done. It may be killed at any moment and is then called again with the same folder
  and section: it goes on from what it finds there, and what comes out has the same bits as if nothing had happened.
  `stages.training` does this for everything with an optimiser: its batches are a function of the step alone (and of
  the weights, where they are asked), so that there is no cursor to keep.
* Between two steps, texts or answers it asks `ctx.stop()`. When that is true it saves and raises `Interrupted`; where
  there is nothing to save, `ctx.tick()` does both.
* Input that cannot be is a `UserError` raised as early as possible: in `__post_init__` what the section alone shows,
  in `run` before the first step the rest.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TextIO

from msgspec import Struct, to_builtins

from ponder.model.load import load
from ponder.model.model import Model
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.scale.layout import Layout

Dtype = Literal["f32", "bf16"]
MODEL = "model"
TOKENIZER = "tokenizer"
TEXT = "text.jsonl"
SHARDS = "shards"
PARTIAL = ".partial"  # after the name of a folder that is not whole yet


class Interrupted(KeyboardInterrupt):
    """The stage was asked to stop, and everything is saved."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a stage runs with."""

    folder: Path
    """Its own. Exists; holds what an earlier, interrupted run left."""
    parents: Mapping[str, Path]
    """The finished folders of other stages, by the roles of `Stage.parents`."""
    identity: Mapping[str, Any]
    """Flat table of what made this stage, parents' hashes included: the `recipe` of `checkpoint.save`."""
    seed: int
    dtype: Dtype = "f32"
    """Of the weights that are trained and saved."""
    accept: Collection[str] = ()
    """Fields of `identity` in which a checkpoint may differ."""
    stop: Callable[[], bool] = lambda: False
    """Whether Ctrl-C was pressed."""
    out: TextIO = field(default_factory=lambda: sys.stderr)
    layout: Layout = field(default_factory=Layout)
    """How several processes share a model."""
    aside: Path | None = None
    """In all of several processes but the first: where that goes which the first one writes into `folder`."""

    @property
    def notes(self) -> Path:
        """Where what people read goes."""
        return self.aside or self.folder

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One line a step, written by `stages.training`."""
        return self.notes / "metrics.jsonl"

    def model(self, role: str = "from") -> Model:
        """A fresh one over the torch ops, with the weights that the parent ended with."""
        return load(self.parents[role] / MODEL, dtype=self.dtype, ops="torch")

    def made(self) -> Model:
        """The one that this stage has saved."""
        return load(self.folder / MODEL, dtype=self.dtype, ops="torch")

    def tokenizer(self, role: str = "from") -> Tokenizer:
        """That of the parent's model, or the one it made."""
        folder = self.parents[role]
        return Tokenizer.from_path(folder / (MODEL if (folder / MODEL).is_dir() else TOKENIZER))

    def tick(self) -> None:
        """Raises Interrupted once Ctrl-C was pressed: where nothing is there yet that would have to be saved first."""
        if self.stop():
            raise Interrupted

    def say(self, text: str) -> None:
        print(text, file=self.out, flush=True)


class Stage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One section of a recipe. Subclasses add fields, `parents` and `run`, and stand in `recipe.table.STAGES`."""

    together: ClassVar[bool] = False
    """Whether several processes do it together (`train.parallel`); else the first one does it and the others wait."""
    name: str
    """Of this stage, unique in the recipe; the beginning of its folder's name."""

    def parents(self) -> dict[str, str]:
        """Role -> name of the stage in this recipe."""
        return {}

    def run(self, ctx: Context) -> None:
        raise NotImplementedError

    def fields(self) -> dict[str, Any]:
        """As a recipe writes them, defaults included."""
        found: dict[str, Any] = to_builtins(self)
        return found


class TextStage(Stage, frozen=True, kw_only=True):
    """One that makes a text."""

    def some(self, seed: int, count: int) -> list[str]:
        """Texts of `count` documents, at most, without running: for an estimate. seed: of the stage."""
        raise NotImplementedError
