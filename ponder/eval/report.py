"""A result for people: Markdown for a terminal or a commit, one HTML page with curves and tables.

Beside every score stand the rates of answers that were cut off, could not be read or looped. Above 2 % they are red:
such a score says more about the settings than about the model.
"""

from collections.abc import Sequence
from html import escape

import msgspec

from ponder.eval.curve import RED, Point, Score
from ponder.eval.figure import budget_name, curve_figure, parts_figure
from ponder.eval.manifest import Result
from ponder.eval.settings import deviations
from ponder.eval.statistics import Estimate
from ponder.tasks.table import tasks_named

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c1f24; --muted: #6b7280; --grid: #e5e7eb; --red: #c81e1e;
  --think: #2563eb; --plain: #b45309; --cut: #a21caf; }
@media (prefers-color-scheme: dark) { :root { --back: #14161a; --text: #e6e8eb; --muted: #9aa3af; --grid: #30343b;
  --red: #ff7b7b; --think: #7fb0ff; --plain: #f0b35c; --cut: #e29bf0; } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; max-width: 74rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: .5rem 0 1.5rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.red { color: var(--red); font-weight: 600; } .muted { color: var(--muted); }
.small svg { width: 23rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } svg { width: 34rem; max-width: 100%; height: auto; }
svg text { font-size: 12px; } svg text:not([fill]) { fill: var(--text); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""
WARNING = "Scores that say more about settings and formats than about the model"
COLUMNS = (
    "mode, budget",
    "pass@1",
    "pass@k",
    "maj@k",
    "cut off",
    "not read",
    "loops",
    "thought tokens",
    "seconds",
    "answers",
)


def markdown(result: Result) -> str:
    """The tables of all levels together, the curves, and what was asked."""
    manifest = result.manifest
    parts = [f"# {manifest.model.name}", "", _asked(result), ""]
    for task in manifest.settings.tasks:
        scores = [s for s in result.scores if s.task == task and s.level is None]
        parts += [f"## {task}", "", f"Without any step: {percent(scores[0].chance)}.", ""]
        parts += table(_columns(scores), [[text if not red else f"🔴 {text}" for text, red in _row(s)] for s in scores])
        points = _points(result, task, None)
        if len(points) > 1:
            head = ("budget", "accuracy", "thoughts that fit", "right, whole", "right, cut", "seconds")
            parts += table(head, [_parts(p) for p in points])
    if remarks := _remarks(result):
        parts += [f"{WARNING}:", "", *(f"* {remark}" for remark in remarks)]
    return "\n".join(parts).rstrip() + "\n"


def html(result: Result, *, seconds: bool = False) -> str:
    """One page that needs nothing else, for light and dark. seconds: budgets are drawn with what their answers took."""
    name = escape(result.manifest.model.name)
    body = [f"<h1>{name}</h1>", f"<p>{escape(_asked(result))}</p>"]
    if remarks := _remarks(result):
        items = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
        body.append(f'<details class="red"><summary>{escape(WARNING)}</summary><ul>{items}</ul></details>')
    tasks = result.manifest.settings.tasks
    if len(tasks) > 1 and any(p.budget is not None for p in result.curve):
        figures = "".join(_small(result, task, seconds) for task in tasks)
        body.append(f'<h2>All curves</h2><div class="figures small">{figures}</div>')
    for task in tasks:
        body += sections(result, task)
    manifest = escape(_manifest_text(result))
    body.append(f"<details><summary>manifest</summary><pre>{manifest}</pre></details>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    return f"<!doctype html>\n<html lang=en><head>{head}<style>{STYLE}</style></head><body>\n" + "\n".join(
        [*body, "</body></html>\n"]
    )


def _small(result: Result, task: str, seconds: bool) -> str:
    """One task's curve with its name, the level of the answers without thoughts and the share of hand-overs."""
    points = _points(result, task, None)
    if len(points) < 2:
        return ""
    whole = [s for s in result.scores if s.task == task and s.level is None]
    without = next((s for s in whole if s.cell.mode == "no_think"), None)
    figure = curve_figure(points, without, whole[0].chance, handed=True, seconds=seconds)
    return f"<div><b>{escape(task)}</b>{figure}</div>"


def sections(result: Result, task: str) -> list[str]:
    own = [s for s in result.scores if s.task == task]
    whole = [s for s in own if s.level is None]
    points = _points(result, task, None)
    parts = [f"<h2>{escape(task)}</h2>"]
    if len(points) > 1:
        without = next((s for s in whole if s.cell.mode == "no_think"), None)
        figures = curve_figure(points, without, whole[0].chance) + parts_figure(points)
        parts.append(f'<div class="figures">{figures}</div>')
    parts.append(_html_table(_columns(whole), [_row(s) for s in whole]))
    if len(points) > 1:
        head = ("budget", "accuracy", "thoughts that fit", "right, whole", "right, cut", "seconds")
        parts.append(_html_table(head, [[(cell, False) for cell in _parts(p)] for p in points]))
    levels = sorted({s.level for s in own if s.level is not None})
    (sizes,) = tasks_named([task], result.manifest.settings.data)
    cells = [s.cell for s in whole]
    rows = []
    for level in levels:
        at = {s.cell: s for s in own if s.level == level}
        rows.append(
            [(sizes.size(level), False), (percent(at[cells[0]].chance), False)]
            + [(estimate_text(at[cell].pass_1), False) for cell in cells]
        )
    return [*parts, _html_table(("level", "without steps", *(c.title for c in cells)), rows)]


def _asked(result: Result) -> str:
    settings = result.manifest.settings
    levels = "all levels" if settings.levels is None else f"levels {', '.join(map(str, settings.levels))}"
    times = f", {settings.samples} answers to each" if settings.samples > 1 else ""
    return (
        f"{settings.n} {settings.split} problems a task, {levels}{times}, seed {settings.seed}. In brackets the 95 % "
        "interval over problems."
    )


def _remarks(result: Result) -> list[str]:
    """A sentence for each rate that makes a score doubtful."""
    remarks = []
    for s in result.scores:
        if s.level is None:
            rates = {"cut off": s.rates.truncated, "not read": s.rates.unparsed, "in a loop": s.rates.loops}
            bad = [f"{percent(rate)} {what}" for what, rate in rates.items() if rate > RED]
            if bad:
                remarks.append(f"{s.task}, {s.cell.title}: {', '.join(bad)} (more than 2 %).")
    return [*remarks, *(f"Not as reported, {what}" for what in deviations(result.manifest.settings))]


def _columns(scores: Sequence[Score]) -> list[str]:
    """COLUMNS with the number of answers to a problem for k."""
    return [column.replace("@k", f"@{scores[0].k}") if scores[0].k > 1 else column for column in COLUMNS]


def _row(score: Score) -> list[tuple[str, bool]]:
    """(text, whether it is red) of each of COLUMNS."""
    rates = (score.rates.truncated, score.rates.unparsed, score.rates.loops)
    several = [(estimate_text(e) if score.k > 1 else "", False) for e in (score.pass_k, score.maj_k)]
    tokens = f"{score.thinking_tokens:.1f}"
    return [
        (score.cell.title, False),
        (estimate_text(score.pass_1), False),
        *several,
        *((percent(rate), rate > RED) for rate in rates),
        (tokens, False),
        (_seconds(score.seconds), False),
        (str(score.answers), False),
    ]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds else ""  # 0 is not measured


def _parts(point: Point) -> list[str]:
    shares = [point.fits, point.whole, point.cut]
    return [
        budget_name(point.budget),
        estimate_text(point.accuracy),
        *("" if s is None else percent(s) for s in shares),
        _seconds(point.seconds),
    ]


def _points(result: Result, task: str, level: int | None) -> list[Point]:
    return [p for p in result.curve if p.task == task and p.level == level]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def estimate_text(estimate: Estimate, *, signed: bool = False) -> str:
    """signed: with a plus where it is above 0, for differences."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    value, low, high = (f"{100 * x:{'+' if signed else ''}.1f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} % [{low}, {high}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(cells) + " |" for cells in lines), ""]


def _html_table(head: Sequence[str], rows: Sequence[Sequence[tuple[str, bool]]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = [
        "<tr>" + "".join(f"<td{' class=red' if red else ''}>{escape(text)}</td>" for text, red in row) + "</tr>"
        for row in rows
    ]
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _manifest_text(result: Result) -> str:
    return msgspec.json.format(msgspec.json.encode(result.manifest), indent=1).decode()
