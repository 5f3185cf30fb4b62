"""`rate = "law"` and `batch_tokens = "law"` in a recipe: numbers of a law that `ponder train ladder` found.

law = "law.json"               # at the top, from the recipe's folder on
[[stage]]
rate = "law"
batch_tokens = "law"           # with tokens; steps follow
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ponder.core.errors import UserError
from ponder.train.scale.law import read_law
from ponder.train.stages.pretrain import Shape

WORD = "law"
FIELDS = ("rate", "batch_tokens")


def parameters_of(shape: Shape) -> int:
    """Without embeddings, of those that an id uses."""
    counts = shape.of_vocabulary(1).parameter_counts()
    return counts.active - (counts.total - counts.non_embedding)


def settled(sections: Sequence[Mapping[str, Any]], path: Path | None, where: str) -> list[dict[str, Any]]:
    """The sections with numbers in place of the word. Raises UserError where the law cannot tell them."""
    wanting = [section for section in sections if any(section.get(name) == WORD for name in FIELDS)]
    if not wanting:
        return [dict(section) for section in sections]
    if path is None:
        raise UserError(f'{where}: {FIELDS[0]} = "law" needs a law: law = "law.json" at the top', param="law")
    law, shapes, out = read_law(path), dict[str, Any](), list[dict[str, Any]]()
    for section in sections:
        own = dict(section)
        shapes[str(own.get("name"))] = own.get("model", shapes.get(str(own.get("from"))))
        if section in wanting:
            shape, tokens = shapes[str(own.get("name"))], _tokens(own)
            if not isinstance(shape, dict) or tokens is None:
                raise UserError(
                    f"{where}, stage {own.get('name')}: a law tells the rate of a model that a stage begins or goes on "
                    "from, and of a number of ids: give tokens, or steps and batch_tokens",
                    param="tokens",
                )
            parameters = parameters_of(msgspec.convert(shape, Shape))
            if own.get("batch_tokens") == WORD:
                own["batch_tokens"] = law.batch(tokens)
            if own.get("rate") == WORD:
                own["rate"] = float(f"{law.rate(parameters, tokens):.3g}")
        out.append(own)
    return out


def _tokens(section: Mapping[str, Any]) -> int | None:
    tokens, steps, batch = (section.get(name) for name in ("tokens", "steps", "batch_tokens"))
    if isinstance(tokens, int):
        return tokens
    return steps * batch if isinstance(steps, int) and isinstance(batch, int) else None
