"""The curve of one task as SVG: accuracy over the budget with its interval, and the three parts.

Colours are names of CSS variables, so that the page decides them for light and dark.
"""

from collections.abc import Sequence
from html import escape

from ponder.eval.curve import Point, Score

WIDTH, HEIGHT = 560, 270
LINE = 13.0  # height of a name
LEFT, RIGHT, TOP, BOTTOM = 44, 130, 34, 34


Label = tuple[float, float, str, str]  # x, y, text, colour


def curve_figure(
    points: Sequence[Point], without: Score | None, chance: float, *, handed: bool = False, seconds: bool = False
) -> str:
    """points: of one task, budgets ascending. without: the score without thoughts, drawn as a level line. handed: the
    share of hand-overs, too. seconds: what an answer took stands at each budget."""
    inner, labels = [_axes(points, seconds=seconds)], list[Label]()
    values = [p.accuracy for p in points]
    if len(points) > 1:
        upper = [_xy(n, len(points), v.high or 0.0) for n, v in enumerate(values)]
        lower = [_xy(n, len(points), v.low or 0.0) for n, v in enumerate(values)]
        inner.append(f'<polygon points="{_joined([*upper, *reversed(lower)])}" fill="var(--think)" opacity=".16"/>')
    inner.append(_level(chance, "no step", "var(--muted)", "2 4", labels))
    if without is not None:
        inner.append(_level(without.pass_1.value or 0.0, "no thoughts", "var(--plain)", "7 4", labels))
    if handed:
        inner.append(_line([1 - p.fits for p in points], "handed over", "var(--cut)", labels))
    inner.append(_line([v.value for v in values], "thinking", "var(--think)", labels))
    return _svg("accuracy in %, by thinking budget", [*inner, *_spread(labels)])


def parts_figure(points: Sequence[Point]) -> str:
    """F, the share of thoughts that fit, and the accuracy after whole and after cut thoughts."""
    labels = list[Label]()
    lines = [
        _line([p.fits for p in points], "thoughts that fit", "var(--muted)", labels),
        _line([p.whole for p in points], "right, whole", "var(--think)", labels),
        _line([p.cut for p in points], "right, cut", "var(--cut)", labels),
    ]
    return _svg("its parts in %", [_axes(points), *lines, *_spread(labels)])


def budget_name(budget: int | None) -> str:
    return "none" if budget is None else str(budget)


def _svg(title: str, inner: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
    caption = f'<text x="{LEFT}" y="14" font-weight="600">{escape(title)}</text>'
    return "\n".join([head, caption, *inner, "</svg>"])


def _xy(place: int, places: int, value: float) -> tuple[float, float]:
    step = (WIDTH - LEFT - RIGHT) / max(1, places - 1)
    return round(LEFT + place * step, 1), round(TOP + (1 - value) * (HEIGHT - TOP - BOTTOM), 1)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _axes(points: Sequence[Point], *, seconds: bool = False) -> str:
    parts = []
    for percent in (0, 25, 50, 75, 100):
        _, y = _xy(0, 1, percent / 100)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{percent}</text>')
    for place, point in enumerate(points):
        x, y = _xy(place, len(points), 0)
        parts.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{budget_name(point.budget)}</text>')
        if seconds:
            parts.append(f'<text x="{x}" y="{TOP - 4}" text-anchor="middle">{point.seconds:.1f} s</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">budget in tokens</text>')
    return "\n".join(parts)


def _level(value: float, name: str, colour: str, dashes: str, labels: list[Label]) -> str:
    _, y = _xy(0, 1, value)
    end = WIDTH - RIGHT
    labels.append((end, y, name, colour))
    return f'<line x1="{LEFT}" x2="{end}" y1="{y}" y2="{y}" stroke="{colour}" stroke-dasharray="{dashes}"/>'


def _line(values: Sequence[float | None], name: str, colour: str, labels: list[Label]) -> str:
    """A line through the values that there are, named at its last one. Gaps are bridged."""
    points = [_xy(n, len(values), v) for n, v in enumerate(values) if v is not None]
    if not points:
        return ""
    labels.append((*points[-1], name, colour))
    dots = [f'<circle cx="{x}" cy="{y}" r="3.2" fill="{colour}"/>' for x, y in points]
    return "\n".join([f'<polyline points="{_joined(points)}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots])


def _spread(labels: Sequence[Label]) -> list[str]:
    """Names beside the ends of their lines, moved down where they would lie on each other."""
    texts, below = [], -LINE
    for x, y, name, colour in sorted(labels, key=lambda label: label[1]):
        below = max(y, below + LINE)
        texts.append(f'<text x="{x + 8}" y="{below + 4}" fill="{colour}">{escape(name)}</text>')
    return texts
