"""`ponder plan RECIPE.toml --gpus 8xH100`: what the pre-training of a recipe takes on GPUs."""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.train.scale.plan import Plan, Work

SHOWN = 3  # ways out


def run(args: argparse.Namespace) -> int:
    """Exit code 0 where all stages fit; else a UserError that says what would."""
    if find_spec("torch") is None:
        raise UserError("recipes are read with PyTorch: pip install 'ponder-llm[train]'", param="torch")
    from ponder.train.recipe.read import read_recipe
    from ponder.train.scale.plan import Cards, plan_of
    from ponder.train.scale.works import works_of

    recipe = read_recipe(Path(args.model))
    text = f"{args.gpus}x{args.gpu}" if args.gpu and args.gpus else args.gpus or recipe.layout.gpus
    if not text:
        raise UserError("on which GPUs? Give --gpus 8xH100, or gpus in the recipe's layout", param="gpus")
    cards = Cards.of(text)
    works = works_of(recipe)
    plans = {name: plan_of(work, cards, recipe.layout) for name, work in works.items()}
    if args.json:
        print(json.dumps({name: facts(plan) for name, plan in plans.items()}))
    else:
        for line in table(works, plans):
            print(line)
    for name, plan in plans.items():
        if not plan.fits:
            raise UserError(refusal(name, works[name], plan), param="gpus")
    return 0


def facts(plan: "Plan") -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(plan)
    return found | {"cards": str(plan.cards), "needed": plan.needed, "fits": plan.fits}


def table(works: "dict[str, Work]", plans: "dict[str, Plan]") -> list[str]:
    from ponder.cli.terminal.progress import amount
    from ponder.train.record.metrics import short

    plan = next(iter(plans.values()))
    config = next(iter(works.values())).config
    counts = config.parameter_counts()
    active = "" if counts.active == counts.total else f", {short(counts.active)} active"
    layout = plan.layout
    lines = [
        f"{short(counts.total)} parameters{active} on {plan.cards}: tensor {layout.tensor}, expert {layout.expert}, "
        f"context {layout.context}, samples over {plan.cards.count // layout.alike}, "
        f"{'' if layout.recompute else 'nothing '}recomputed"
    ]
    head = ("stage", "ids", "sequence", "state", "layers", "activations", "head", "needed", "of", "fits", "days")
    rows = [
        (name, short(works[name].tokens), f"{works[name].sequence:,}",
         *map(amount, (p.state, p.gathered, p.activations, p.head, p.needed, p.cards.memory)),
         "yes" if p.fits else "no", f"{p.days:,.1f}")
        for name, p in plans.items()
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines += ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths)).rstrip() for row in [head, *rows]]
    days = sum(p.days for p in plans.values())
    return [*lines, f"{days:,.1f} days in all, if {plan.utilisation:.0%} of the cards' speed is reached"]


def refusal(name: str, work: "Work", plan: "Plan") -> str:
    from itertools import islice

    from ponder.cli.terminal.progress import amount
    from ponder.train.scale.plan import alternatives

    ways = [
        f"{p.cards} with tensor = {p.layout.tensor}, expert = {p.layout.expert}, context = {p.layout.context}, "
        f"recompute = {str(p.layout.recompute).lower()} ({amount(p.needed)})"
        for p in islice(alternatives(work, plan.cards, plan.layout), SHOWN)
    ]
    fits = (
        f"It fits {'; or '.join(ways)}" if ways else "No number of these cards takes it: take others, or less at once"
    )
    return (
        f"stage {name} needs {amount(plan.needed)} on each of {plan.cards}, and {amount(plan.cards.memory)} may be "
        f"used. {fits}"
    )
