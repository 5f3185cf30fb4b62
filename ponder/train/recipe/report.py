"""One page about a run: what each stage is, its loss curve, and the tables and curves of its evaluations."""

from collections.abc import Sequence
from html import escape
from itertools import accumulate
from pathlib import Path

from markdown_it import MarkdownIt

from ponder.core.atomic import replacing
from ponder.eval import manifest
from ponder.eval.report import STYLE, sections
from ponder.train.base.evaluate import PAGE as BASE
from ponder.train.recipe.graph import Node
from ponder.train.recipe.read import Recipe
from ponder.train.recipe.summary import markdown
from ponder.train.record.generations import Generation, newest
from ponder.train.record.metrics import Line, read, short
from ponder.train.stages.evaluate import RESULT
from ponder.train.stages.pretrain import Pretrain

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 240, 64, 16, 30, 30
MOST = 400  # points of a curve; more are averaged into so many


def write_report(recipe: Recipe, nodes: Sequence[Node], out: Path) -> Path:
    """out/report.html, and the same in figures as report.md."""
    path = out / "report.html"
    body = [f"<h1>{escape(recipe.name)}</h1>", f"<p>seed {recipe.seed}, {len(nodes)} stages</p>"]
    body += _pretraining(nodes)
    for node in nodes:
        body += _stage(node)
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(recipe.name)}</title>'
    )
    text = "\n".join([f"<!doctype html>\n<html lang=en><head>{head}<style>{STYLE}</style></head><body>", *body])
    with replacing(path) as file:
        file.write((text + "\n</body></html>\n").encode())
    with replacing(out / "report.md") as file:
        file.write(markdown(recipe.name, nodes).encode())
    return path


def _pretraining(nodes: Sequence[Node]) -> list[str]:
    """One curve for each model through its stages of pre-training, where there are several."""
    done = {n.stage.name: n for n in nodes if isinstance(n.stage, Pretrain) and n.finished}
    followed = {n.parents["from"].stage.name for n in done.values() if "from" in n.parents}
    figures = [_one_model(node, done) for name, node in done.items() if name not in followed]
    if not any(figures):
        return []
    return ["<h2>Pre-training</h2>", "<div class=figures>", *figures, "</div>"]


def _one_model(last: Node, done: dict[str, Node]) -> str:
    """ "" where it has one stage alone, which has a curve of its own."""
    path = [last]
    while (before := path[0].parents.get("from")) is not None and before.stage.name in done:
        path.insert(0, before)
    if len(path) < 2:
        return ""
    lines = [read(node.folder / "metrics.jsonl") for node in path]
    ends = list(accumulate(map(len, lines)))[:-1]
    losses = [float(line["loss"]) for own in lines for line in own]
    return curve(f"loss of {', '.join(node.stage.name for node in path)}", losses, ends)


def _stage(node: Node) -> list[str]:
    kind = node.stage.fields()["kind"]
    fields = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in node.identity.items())
    parts = [
        f"<h2>{escape(node.stage.name)} <span class=muted>{escape(kind)}</span></h2>",
        f"<details><summary>{escape(node.folder.name)}</summary><table>{fields}</table></details>",
    ]
    metrics = node.folder / "metrics.jsonl"
    if metrics.exists() and (lines := read(metrics)):
        tokens = sum(float(line["tokens"]) for line in lines)
        parts.append(f"<p>{len(lines)} steps, {short(tokens)} ids</p><div class=figures>")
        parts += [curve(name, [float(line[name]) for line in lines if name in line]) for name in _curves(lines[-1])]
        parts += _by_compute(lines)
        parts.append("</div>")
    if spoken := newest(node.folder):
        parts.append(_spoken(*spoken))
    if (node.folder / BASE).exists():
        parts.append(MarkdownIt("commonmark").enable("table").render((node.folder / BASE).read_text()))
    if (node.folder / RESULT).exists():
        result = manifest.load(node.folder / RESULT)
        for task in result.manifest.settings.tasks:
            parts += sections(result, task)
    return parts


def _spoken(step: str, told: Sequence[Generation]) -> str:
    rows = "".join(
        f"<tr><td><pre>{escape(str(one['prompt']))}<b>{escape(str(one['said']))}</b></pre></td>"
        f"<td>{one['reward']:g}</td><td>{escape(str(one['status']))}</td></tr>"
        for one in told
    )
    return f"<details><summary>what it says at {escape(step)}</summary><table>{rows}</table></details>"


def _curves(line: Line) -> list[str]:
    """The loss, and what else tells of progress."""
    rl = ("accuracy", "pass_at_group", "entropy", "new_tokens", "clip_share")
    wanted = ("loss", "reward", "divergence", "mismatch_kl", *(rl if "reward" in line else ()))
    return [name for name in wanted if name in line]


def _by_compute(lines: Sequence[Line]) -> list[str]:
    """What rewards have brought, against all that was computed for it."""
    spent = list(accumulate(float(line.get("flops", 0)) / 1e12 for line in lines))
    wanted = ["accuracy", *dict.fromkeys(k for line in lines for k in line if "validation" in k)]
    found = []
    for name in wanted:
        at = [(x, float(line[name])) for x, line in zip(spent, lines, strict=True) if name in line]
        if "reward" in lines[0] and len(at) > 1 and spent[-1] > 0:
            found.append(curve(name, [v for _, v in at], along=[x for x, _ in at]))
    return found


def curve(
    name: str, values: Sequence[float], marks: Sequence[int] = (), along: Sequence[float] | None = None
) -> str:  # fmt: skip
    """values by step, or along TFLOPs, as SVG. Values that are no numbers are left out. marks: steps with a line."""
    places_of = along or range(len(values))
    points = _averaged([(n, v) for n, v in zip(places_of, values) if v == v and abs(v) != float("inf")])
    low, high = min((v for _, v in points), default=0.0), max((v for _, v in points), default=1.0)
    span, steps = (high - low) or 1.0, max(places_of[-1] if values else 1, 1e-12)
    unit, last = ("TFLOP", f"{steps:.3g}") if along else ("step", str(len(values)))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    line = " ".join(f"{LEFT + n / steps * width:.1f},{TOP + (high - v) / span * height:.1f}" for n, v in points)
    bottom = TOP + height
    places = (f"M{LEFT + n / steps * width:.1f} {TOP}V{bottom}" for n in marks)
    return "\n".join([
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)} by {unit}">',
        f'<text x="{LEFT}" y="14" font-weight="600">{escape(name.replace("_", " "))}, by {unit}</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="var(--grid)"/>',
        f'<path d="{"".join(places)}" fill="none" stroke="var(--grid)" stroke-dasharray="3"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 4}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">{low:.3g}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{bottom + 18}" text-anchor="end">{last}</text>',
        f'<polyline points="{line}" fill="none" stroke="var(--think)" stroke-width="1.5"/>',
        "</svg>",
    ])  # fmt: skip


def _averaged(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = max(1, -(-len(points) // MOST))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(n for n, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in groups]
