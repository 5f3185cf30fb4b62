"""`report.md` of a run: what each stage took, accuracy of every model on every task, the curves with their parts."""

from collections.abc import Sequence

from ponder.eval import manifest
from ponder.eval.curve import Point
from ponder.eval.figure import budget_name
from ponder.eval.manifest import Result
from ponder.eval.statistics import Estimate
from ponder.train.base import evaluate as base
from ponder.train.recipe.graph import Node
from ponder.train.record.metrics import duration, read, short
from ponder.train.stages.evaluate import RESULT


def markdown(name: str, nodes: Sequence[Node]) -> str:
    results = {
        node.parents["from"].stage.name: manifest.load(node.folder / RESULT)
        for node in nodes if (node.folder / RESULT).exists()
    }  # fmt: skip
    parts = [f"# {name}", "", *_stages(nodes)]
    bases = {n.stage.name: base.load(n.folder) for n in nodes if (n.folder / base.RESULT).exists()}
    if bases:
        parts += ["", base.markdown(bases)]
    if results:
        parts += ["", *_accuracy(results)]
        for task in dict.fromkeys(t for result in results.values() for t in result.manifest.settings.tasks):
            parts += _curves(task, results)
    return "\n".join(parts) + "\n"


def _stages(nodes: Sequence[Node]) -> list[str]:
    rows = []
    for node in nodes:
        metrics = node.folder / "metrics.jsonl"
        if metrics.exists() and (lines := read(metrics)):
            ids, seconds = (sum(float(line[key]) for line in lines) for key in ("tokens", "seconds"))
            kind = str(node.stage.fields()["kind"])
            rows.append(
                [node.stage.name, kind, str(len(lines)), short(ids), duration(seconds), f"{lines[-1]['loss']:.3g}"]
            )
    return _table(["stage", "kind", "steps", "ids", "time", "last loss"], rows)


def _accuracy(results: dict[str, Result]) -> list[str]:
    """A row for each model and mode: percent, with the 95 % interval over problems."""
    tasks = list(dict.fromkeys(t for result in results.values() for t in result.manifest.settings.tasks))
    rows = []
    for model, result in results.items():
        found = {(s.task, s.cell): s for s in result.scores if s.level is None}
        for cell in dict.fromkeys(cell for _, cell in found):
            if cell.budget is None:
                scores = [found.get((task, cell)) for task in tasks]
                rows.append([model, cell.mode, *("" if s is None else _percent(s.pass_1) for s in scores)])
    chance = {s.task: s.chance for result in results.values() for s in result.scores if s.level is None}
    rows.append(["without any step", "", *(f"{100 * chance[task]:.0f}" for task in tasks)])
    return ["## Accuracy", "", *_table(["model", "mode", *tasks], rows)]


def _curves(task: str, results: dict[str, Result]) -> list[str]:
    """A row for each budget, a column for each model: accuracy, and in brackets F, W and C in percent."""
    points = {
        model: {p.budget: p for p in result.curve if p.task == task and p.level is None}
        for model, result in results.items()
    }  # fmt: skip
    points = {model: own for model, own in points.items() if len(own) > 1}
    if not points:
        return []
    budgets = sorted({b for own in points.values() for b in own}, key=lambda b: (b is None, b or 0))
    rows = [
        [budget_name(budget), *(_parts(own[budget]) if budget in own else "" for own in points.values())]
        for budget in budgets
    ]  # fmt: skip
    plain = ["no thoughts"]
    for model in points:
        score = next(
            (s for s in results[model].scores if s.task == task and s.level is None and s.cell.mode == "no_think"), None
        )
        plain.append("" if score is None else _percent(score.pass_1))
    return ["", f"## {task}, by thinking budget", "", *_table(["budget", *points], [plain, *rows])]


def _parts(point: Point) -> str:
    shares = ("-" if s is None else f"{100 * s:.0f}" for s in (point.fits, point.whole, point.cut))
    return f"{_percent(point.accuracy)} ({', '.join(shares)})"


def _percent(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.value:.0f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
