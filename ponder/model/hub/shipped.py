"""The model that comes with Ponder. Its files lie in the package: no network, no copy, opened where they are.

`ponder train package` makes them (docs/train.md). An installation may have been made without them.
"""

from pathlib import Path

from ponder.model.hub.elsewhere import is_complete

SHIPPED = {"ponder-mini": Path(__file__).parents[1] / "mini"}


def shipped(name: str) -> Path | None:
    """name: of the table. None where its files were left out."""
    return SHIPPED[name] if is_complete(SHIPPED[name]) else None
