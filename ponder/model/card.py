"""`card.json` beside a model's files: what it is, what to ask it, what made it. `train.package` writes it."""

from pathlib import Path

import msgspec
from msgspec import Struct

CARD = "card.json"


class Card(Struct, frozen=True, kw_only=True):
    about: str
    """What it can and cannot do, in a sentence or two: told where the model is opened."""
    examples: tuple[str, ...] = ()
    """Questions it was made for."""
    answer: dict[str, int | float] = {}
    """Sampling values without thoughts: generation_config.json has room for one mode."""
    stage: str = ""
    """Folder of the stage that made it; its name has a hash of all that went in."""
    recipe: str = ""
    """sha256 of stages.json, the recipe as it ran."""
    files: dict[str, str] = {}
    """sha256 of each file."""


def read_card(folder: Path) -> Card | None:
    """None where there is none, or one of somebody else's."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError):
        return None
