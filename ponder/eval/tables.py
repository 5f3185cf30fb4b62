"""Tables over several results: two compared, the table of stages, languages as a heat map."""

from collections.abc import Mapping, Sequence
from html import escape

from ponder.data.languages import languages as known_languages
from ponder.data.languages import of_code
from ponder.eval.compare import Row
from ponder.eval.curve import Score
from ponder.eval.judge import Pair
from ponder.eval.manifest import Result
from ponder.eval.report import STYLE, estimate_text, percent, table

HEAT = "background: color-mix(in srgb, var(--think) {share:.0f}%, transparent)"


def comparison(names: tuple[str, str], rows: Sequence[Row]) -> str:
    """Markdown: a row a task, cell and level; what is certain is bold."""
    head = ("task", "mode, budget", "level", *names, "difference", "gained", "lost")
    cells = []
    for row in rows:
        change = estimate_text(row.change, signed=True)
        level = "all" if row.level is None else str(row.level)
        text = f"**{change}**" if row.certain else change
        cells.append(
            [
                row.task,
                row.cell.title,
                level,
                percent(row.before),
                percent(row.after),
                text,
                str(row.gained),
                str(row.lost),
            ]
        )
    return "\n".join([f"# {names[1]} against {names[0]}", "", *table(head, cells), CERTAIN, ""])


CERTAIN = "After minus before, over the problems that both were asked; bold where the 95 % interval leaves out 0."


def stages(results: Mapping[str, Result]) -> str:
    """Markdown: rows are tasks, columns the results in each mode without a budget, as in the table of stages."""
    columns = [(name, cell) for name, result in results.items() for cell in _cells(result)]
    tasks = list(dict.fromkeys(s.task for result in results.values() for s in result.scores))
    rows = [[task, *(_cell(results[name].scores, task, title) for name, title in columns)] for task in tasks]
    head = ("task", *(f"{name}, {title}" for name, title in columns))
    return "\n".join(["# Tasks and stages", "", *table(head, rows)])


def languages(results: Mapping[str, Result]) -> dict[str, dict[str, float]]:
    """language -> column -> share of right answers. One of Qwen3's 119 by its name, however its tasks call it."""
    found: dict[str, dict[str, list[bool]]] = {}
    for name, result in results.items():
        for output in result.outputs:
            if output.cell.budget is None:
                column = f"{name}, {output.cell.title}"
                found.setdefault(_named(output.language), {}).setdefault(column, []).append(output.ok)
    return {
        language: {column: sum(oks) / len(oks) for column, oks in columns.items()}
        for language, columns in sorted(found.items())
    }


def _named(code: str) -> str:
    known = of_code(code)
    return code if known is None else known_languages()[known].name


def heat_map(results: Mapping[str, Result]) -> str:
    """One HTML page: a row a language, a column a result and mode; the darker, the more is right."""
    shares = languages(results)
    columns = list(dict.fromkeys(column for row in shares.values() for column in row))
    head = "".join(f"<th>{escape(column)}</th>" for column in ("language", *columns))
    rows = [
        f"<tr><td>{escape(language)}</td>{''.join(_heat(row.get(column)) for column in columns)}</tr>"
        for language, row in shares.items()
    ]
    return (
        f"<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Languages</title><style>{STYLE}</style></head><body><h1>Languages</h1>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></body></html>\n"
    )


def _heat(share: float | None) -> str:
    if share is None:
        return "<td></td>"
    return f'<td style="{HEAT.format(share=100 * share)}">{100 * share:.0f}</td>'


def _cells(result: Result) -> list[str]:
    return list(dict.fromkeys(s.cell.title for s in result.scores if s.cell.budget is None))


def _cell(scores: Sequence[Score], task: str, title: str) -> str:
    found = next((s for s in scores if (s.task, s.level, s.cell.title) == (task, None, title)), None)
    return "" if found is None else estimate_text(found.pass_1)


def pairs_of(ours: Result, theirs: Result) -> list[Pair]:
    """The first answers that two models gave to the same problem in the same cell."""
    other = {(o.task, o.problem, o.cell): o.answer for o in theirs.outputs if o.sample == 0}
    settings = ours.manifest.settings
    asked = {
        (task.name, problem.id): "\n\n".join(f"{m.role}: {m.text}" for m in problem.messages)
        for task in settings.found()
        for problem in settings.problems(task)
    }
    return [
        Pair(
            f"{o.task} {o.problem} {o.cell.title}", asked[o.task, o.problem], o.answer, other[o.task, o.problem, o.cell]
        )
        for o in ours.outputs
        if o.sample == 0 and (o.task, o.problem, o.cell) in other
    ]
