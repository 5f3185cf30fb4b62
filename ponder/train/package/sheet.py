"""What a person says of a model that is to be given away: TOML, the input of `ponder train package`.

    name = "ponder-mini"
    title = "Ponder mini"
    recipe = "recipes/mini.toml"
    stage = "general-rl"
    base = "long"
    cannot = "It knows no facts of the world."
    examples = ["How many r in s t r a w?"]
    [tasks]
    count = { does = "counts letters", levels = [2, 3] }

Everything else in the card follows from the run: what the model can do is what it was right in.
"""

from pathlib import Path
from typing import Literal

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.core.params import SamplingParams
from ponder.data.sections import read_toml, section
from ponder.eval.settings import Settings

Budget = int | Literal["none"]


class Sampling(Struct, frozen=True, forbid_unknown_fields=True):
    """How the model is asked where nobody says otherwise, with thoughts and without."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """does: what a model does that is good at the task, "counts letters". levels: that are asked."""

    does: str
    levels: tuple[int, ...]


class Sheet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    title: str
    recipe: str
    """How a reader makes it: the path of the recipe in the repository."""
    stage: str
    """The one whose model is given away."""
    base: str = ""
    """The one whose model lies beside it as a file of its own: after pre-training, say."""
    cannot: str
    """A sentence or two: they are told wherever the model is opened."""
    notes: tuple[str, ...] = ()
    """Further paragraphs of the card about its limits."""
    examples: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en",)
    license: str = "apache-2.0"
    sampling: Sampling = Sampling()
    tasks: dict[str, Asked]
    """The card has their numbers."""
    budgets: tuple[Budget, ...] = ("none",)
    n: int = 100
    max_tokens: int = 384

    def __post_init__(self) -> None:
        for task in self.tasks:
            self.settings(task).checked()

    def settings(self, task: str) -> Settings:
        """What is asked for the card, with the model's own sampling values."""
        return Settings(
            tasks=(task,), levels=self.tasks[task].levels, n=self.n,
            budgets=tuple(None if b == "none" else b for b in self.budgets),
            sampling=SamplingParams(max_tokens=self.max_tokens),
        )  # fmt: skip


def read_sheet(path: Path) -> Sheet:
    """Raises UserError that names the field."""
    raw = read_toml(path)
    if isinstance(raw.get("tasks"), dict) and not raw["tasks"]:
        raise UserError(f"{path}: [tasks] is empty: a card without numbers says nothing", param="tasks")
    return section(raw, Sheet, str(path))
