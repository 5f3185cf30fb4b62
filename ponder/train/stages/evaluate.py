"""What `ponder eval` does, on the model of another stage: both modes, and the curve over thinking budgets."""

from typing import Literal

from msgspec import field

from ponder.core.atomic import replacing
from ponder.core.params import SamplingParams
from ponder.core.sample import Split
from ponder.engine.llm import LLM
from ponder.eval import manifest as files
from ponder.eval.report import html, markdown
from ponder.eval.run import run
from ponder.eval.settings import Settings
from ponder.train.stage import MODEL, Context, Stage

RESULT = "result.json"


class Evaluate(Stage, frozen=True, kw_only=True, tag="eval"):
    from_: str = field(name="from")
    tasks: tuple[str, ...]
    modes: tuple[Literal["think", "no_think"], ...] = ("think", "no_think")
    budgets: tuple[int | Literal["none"], ...] = ("none",)
    levels: tuple[int, ...] | None = None
    n: int = 100
    """Problems of a task, spread over its levels."""
    samples: int = 1
    split: Split = "test"
    temperature: float | None = 0.0
    max_tokens: int | None = None
    data: dict[str, str] = field(default_factory=dict)
    """Files of tasks that need one, as `ponder eval --data`."""

    def __post_init__(self) -> None:
        self.settings(0).checked()

    def parents(self) -> dict[str, str]:
        return {"from": self.from_}

    def settings(self, seed: int) -> Settings:
        return Settings(
            tasks=self.tasks, modes=self.modes, budgets=tuple(None if b == "none" else b for b in self.budgets),
            levels=self.levels, n=self.n, samples=self.samples, seed=seed, split=self.split,
            sampling=SamplingParams(temperature=self.temperature, max_tokens=self.max_tokens), data=self.data,
        )  # fmt: skip

    def run(self, ctx: Context) -> None:
        """result.json, report.md and report.html."""
        folder, settings = ctx.parents["from"] / MODEL, self.settings(ctx.seed % (1 << 31))
        result, kept = ctx.folder / RESULT, files.unfinished(ctx.folder / RESULT)
        with LLM(folder, kv_dtype="f32") as llm:
            card = files.ModelCard(
                name=folder.parent.name, capability=llm.profile.capability,
                files=files.digests(sorted(p for p in folder.iterdir() if p.is_file())), loaded={"kv_dtype": "f32"},
            )  # fmt: skip
            manifest = files.manifest_of(card, settings, f"stage {self.name}")
            done = files.resume(kept, manifest) if kept.exists() else []
            with files.begin(kept, manifest, done) as file:
                outputs = run(llm, settings, done=done, keep=lambda output: files.append(file, output),
                              tick=lambda done, total: ctx.tick())  # fmt: skip
        made = files.result_of(manifest, outputs)
        for name, text in (("report.md", markdown(made)), ("report.html", html(made))):
            with replacing(ctx.folder / name) as page:
                page.write(text.encode())
        files.save(made, result)
        kept.unlink()
        ctx.say(summary(made))


def summary(result: files.Result) -> str:
    """One line a task: accuracy in each cell."""
    lines = []
    for task in result.manifest.settings.tasks:
        scores = [s for s in result.scores if s.task == task and s.level is None]
        cells = [f"{s.cell.title} {100 * (s.pass_1.value or 0):.0f} %" for s in scores]
        lines.append(f"  {task}: {', '.join(cells)}, chance {100 * scores[0].chance:.0f} %")
    return "\n".join(lines)
