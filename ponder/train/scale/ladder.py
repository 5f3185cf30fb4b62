"""`ponder train ladder RECIPE`: small models, each at several rates and batches, and the law through them.

    [ladder]
    stage = "base"                     # the pattern: a stage of kind pretrain in the same file
    rate = 4e-3                        # where the search begins
    batch = 1024
    [[ladder.size]]                    # from small to large; the last one is foreseen, then trained
    tokens = [200_000]
    model = { hidden_size = 16, ... }

Each size and number of tokens is searched along the rate, then along the batch at the best rate, in factors of two
until the best lies between two others; the next one begins where this one ended. A batch has two sequences or more:
documents stay whole, and smaller ones would read more than they say. Every training is a stage in a folder
of its own, so that the same command goes on where it was stopped.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from msgspec import Struct
from msgspec.structs import replace

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.sections import read_toml, section
from ponder.train.recipe.read import Recipe, recipe_of
from ponder.train.record.metrics import short
from ponder.train.scale.by_law import parameters_of
from ponder.train.scale.law import Law, Run, best_of, fit
from ponder.train.scale.trial import held_out, of_length, pattern_of, trained
from ponder.train.stages.pretrain import Pretrain, Shape

LAW, PAGE = "law.json", "ladder.md"


class Size(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: Shape
    tokens: tuple[int, ...]
    """Ids that it reads; a number for each training."""


class Ladder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    stage: str
    rate: float
    batch: int
    size: tuple[Size, ...]
    steps: int = 3
    """Factors of two that the search takes beyond its first three, at most."""
    held_out: int = 50_000
    """Ids that the loss is measured on, at most."""

    def __post_init__(self) -> None:
        if len(self.size) < 4:
            raise UserError("a ladder has four sizes or more: three that learn the law, one to foresee", param="size")
        counts = [parameters_of(size.model) for size in self.size]
        if counts != sorted(set(counts)):
            raise UserError(f"sizes go from small to large, and these have {counts} parameters", param="size")


class Outcome(NamedTuple):
    law: Law
    foreseen: float
    measured: Run

    @property
    def error(self) -> float:
        return self.foreseen / self.measured.loss - 1


def read_ladder(path: Path) -> tuple[Recipe, Ladder]:
    raw = read_toml(path)
    if not isinstance(raw.get("ladder"), dict):
        raise UserError(f"{path} has no [ladder]", param="ladder")
    ladder = section(raw.pop("ladder"), Ladder, f"{path}, ladder")
    return recipe_of(raw, str(path), default_name=path.stem), ladder


def climb(recipe: Recipe, ladder: Ladder, out: Path, log: TextIO | None = None) -> Outcome:
    """The law is `out / law.json`, the page about it `out / ladder.md`."""
    log = log or sys.stderr
    pattern = pattern_of(recipe, ladder.stage)

    def measured(size: Size, tokens: int, rate: float, batch: int) -> Run:
        n = parameters_of(size.model)
        name = f"{n}-{tokens}-{round(rate * 1e7)}-{batch}"
        stage: Pretrain = replace(of_length(pattern, name, tokens, batch), model=size.model, rate=rate)
        loss = held_out(trained(recipe, stage, out / "trials", log), ladder.held_out)["all"]
        print(
            f"{short(n)} parameters, {short(tokens)} ids, rate {rate:.2e}, batch {batch}: {loss:.4f}", file=sys.stderr
        )
        return Run(parameters=n, tokens=tokens, rate=rate, batch=batch, loss=loss)

    *sizes, last = ladder.size
    rate, batch, runs = ladder.rate, ladder.batch, list[Run]()
    for size in sizes:
        for tokens in size.tokens:
            least = 2 * (pattern.sequence or size.model.positions)
            own = search(
                lambda r, b, s=size, t=tokens: measured(s, t, r, b),  # type: ignore[misc]
                rate, batch, ladder.steps, least,
            )  # fmt: skip
            best = min(own, key=lambda run: run.loss)
            rate, batch, runs = best.rate, best.batch, runs + own
    law = fit(runs)
    law.save(out / LAW)
    n, tokens = parameters_of(last.model), last.tokens[0]
    outcome = Outcome(law, law.loss(n, tokens), measured(last, tokens, law.rate(n, tokens), law.batch(tokens)))
    with replacing(out / PAGE) as file:
        file.write(page(recipe.name, outcome).encode())
    return outcome


def search(
    measure: Callable[[float, int], Run], rate: float, batch: int, more: int, least: int = 1
) -> list[Run]:  # fmt: skip
    """All runs: along the rate at that batch, then along the batch at the best rate. least: the smallest batch."""
    rates = _along(lambda power: measure(rate * 2.0**power, batch), more, -more - 1)
    best = min(rates, key=lambda run: run.loss)
    lowest = math.ceil(math.log2(least / batch))
    batches = _along(lambda power: best if power == 0 else measure(best.rate, round(batch * 2.0**power)), more, lowest)
    return [*rates, *(run for run in batches if run is not best)]


def _along(measure: Callable[[int], Run], more: int, lowest: int) -> list[Run]:
    """By powers of two from `lowest` on, until the best has a neighbour on both sides."""
    found = {power: measure(power) for power in (-1, 0, 1) if power >= lowest}
    for _ in range(more):
        best = min(found, key=lambda power: found[power].loss)
        power = best + (1 if best == max(found) else -1)
        if min(found) < best < max(found) or power < lowest:
            break
        found[power] = measure(power)
    return list(found.values())


def page(name: str, outcome: Outcome) -> str:
    law, last = outcome.law, outcome.measured
    rows: dict[tuple[int, int], list[Run]] = {}
    for run in law.runs:
        rows.setdefault((run.parameters, run.tokens), []).append(run)
    lines = [f"# {name}", "", "| parameters | ids | runs | best rate | best batch | loss | law |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for (n, d), runs in rows.items():
        best = best_of(runs)
        lines.append(
            f"| {short(n)} | {short(d)} | {len(runs)} | {best.rate:.2e} | {best.batch} | {best.loss:.4f} | "
            f"{law.loss(n, d):.4f} |"
        )
    a, b, c = law.rate_of
    e, f = law.batch_of
    constants: tuple[Any, ...] = law.loss_of
    lines += [
        "",
        f"rate = exp({a:.3f}) N^{b:.3f} D^{c:.3f}, batch = exp({e:.3f}) D^{f:.3f}, "
        "loss = {:.3f} + {:.3g} N^-{:.3f} + {:.3g} D^-{:.3f}".format(*constants),
        "",
        f"Foreseen for {short(last.parameters)} parameters and {short(last.tokens)} ids, which the law had not seen: "
        f"{outcome.foreseen:.4f}; measured at its rate ({last.rate:.2e}) and batch ({last.batch}): {last.loss:.4f}; "
        f"{100 * outcome.error:+.1f} %.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
