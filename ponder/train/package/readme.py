"""README.md of a model, as hubs show it: front matter, what it is, how it was made, what was measured, its limits."""

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct

from ponder.eval.curve import Score
from ponder.eval.manifest import Result
from ponder.eval.report import estimate_text, percent, table
from ponder.eval.settings import Cell
from ponder.model.config import ModelConfig
from ponder.train.package.run_folder import Made
from ponder.train.package.sheet import Sheet
from ponder.train.package.speed import Clock
from ponder.train.record.metrics import duration, short

GOOD, FAIR = 0.8, 0.4  # of its answers right, in its better mode: what it does, and what it sometimes does


class Facts(Struct, frozen=True, kw_only=True):
    """same: of the answers of the weights as they were trained, those that the packaged ones give as well."""

    config: ModelConfig
    machine: str
    clock: Clock
    same: tuple[int, int]


def about(sheet: Sheet, config: ModelConfig, results: Mapping[str, Result]) -> str:
    """Its size, what it was right in, and what its maker says that it cannot."""
    best = {task: _best(result) for task, result in results.items()}
    good = [asked.does for task, asked in sheet.tasks.items() if best[task] >= GOOD]
    fair = [asked.does for task, asked in sheet.tasks.items() if FAIR <= best[task] < GOOD]
    parts = [f"{sheet.title} has {count(config.parameter_counts().total)} parameters."]
    if good or fair:
        sometimes = f"{'and ' if good else ''}sometimes {joined(fair)}"
        parts.append(f"It {', '.join([*([joined(good)] if good else []), *([sometimes] if fair else [])])}.")
    return " ".join([*parts, sheet.cannot])


def _best(result: Result) -> float:
    """Of the modes without a budget; 0 where it may well have been chance."""
    scores = [score for cell, score in _overall(result).items() if cell.budget is None]
    return max(s.pass_1.value if s.pass_1.value and (s.pass_1.low or 0) > s.chance else 0.0 for s in scores)


def joined(phrases: Sequence[str]) -> str:
    return " and ".join([part for part in (", ".join(phrases[:-1]), *phrases[-1:]) if part])


def count(number: int) -> str:
    """3_110_592 -> 3.1 million"""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"


def readme(sheet: Sheet, said: str, facts: Facts, line: Sequence[Made], needed: Sequence[Made],
           results: Mapping[str, Result], earlier: Mapping[str, Result]) -> str:  # fmt: skip
    """line: the stages of the model. needed: all that went into it. earlier: of the run, by stage."""
    parts = [
        _front(sheet), f"# {sheet.title}", "", said, "", *(f"{note}\n" for note in sheet.notes),
        *_use(sheet), *_shape(facts), *_made(sheet, facts, line, needed), *_measured(sheet, results, facts),
        *_earlier(earlier),
    ]  # fmt: skip
    return "\n".join(parts).rstrip() + "\n"


def _front(sheet: Sheet) -> str:
    """Hubs read it as YAML, of which JSON is a part."""
    head = {
        "license": sheet.license, "language": list(sheet.languages), "library_name": "transformers",
        "pipeline_tag": "text-generation", "tags": ["qwen3", "thinking", "ponder"],
    }  # fmt: skip
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---", ""])


def _use(sheet: Sheet) -> list[str]:
    question = (sheet.examples or ("Hello",))[0]
    return [
        "## Use", "", "```bash", f'ponder run {sheet.name} "{question}"',
        f'ponder run {sheet.name} --budget 32 "{question}"        # at most 32 tokens of thought',
        f'ponder run {sheet.name} --no-think "{question}"',
        f"ponder convert {sheet.name} {sheet.name}.gguf                # for llama.cpp and its kin", "```", "",
        "The folder loads in transformers, too (`AutoModelForCausalLM.from_pretrained`). Thoughts are on by default; "
        "`/no_think` in a question ends them, `/think` brings them back. The chat template is Qwen3's.", "",
        *(["Questions it was made for:", "", *(f"* {text}" for text in sheet.examples), ""] if sheet.examples else []),
    ]  # fmt: skip


def _shape(facts: Facts) -> list[str]:
    c = facts.config
    rows = [
        ["parameters", f"{c.parameter_counts().total:,}"],
        ["layers, width", f"{c.num_hidden_layers}, {c.hidden_size}"],
        ["heads", f"{c.num_attention_heads}, {c.num_key_value_heads} of keys and values"],
        ["vocabulary", f"{c.vocab_size:,}"],
        ["context", f"{c.native_context:,} tokens"],
        ["weights", "bfloat16"],
        ["architecture", "Qwen3"],
    ]
    return ["## Shape", "", *table(["", ""], rows)]


def _made(sheet: Sheet, facts: Facts, line: Sequence[Made], needed: Sequence[Made]) -> list[str]:
    learned = [made for made in needed if made.lines]
    ids, seconds = sum(made.ids for made in learned), sum(made.seconds for made in needed)
    rows = [
        [made.name, made.kind, str(len(made.lines)), short(made.ids), duration(made.seconds),
         f"{float(made.lines[-1]['loss']):.3g}" if made.lines else ""]
        for made in line
    ]  # fmt: skip
    own = sum(made.seconds for made in line)
    return [
        "## How it was made", "",
        f"From nothing, by `ponder train {sheet.recipe}`, in {duration(seconds)} by the clock on {facts.machine}: "
        f"{duration(own)} of steps, the rest for text, tokenizer and written or drawn answers. "
        f"{short(ids)} ids were learned. `stages.json` has every section as it ran.", "",
        *table(["stage", "kind", "steps", "ids", "time", "last loss"], rows),
    ]  # fmt: skip


def _measured(sheet: Sheet, results: Mapping[str, Result], facts: Facts) -> list[str]:
    outputs = [output for result in results.values() for output in result.outputs]
    cells = list(dict.fromkeys(output.cell for output in outputs))
    rows, bad = [], []
    for task, result in results.items():
        scores = _overall(result)
        texts = [estimate_text(scores[cell].pass_1) if cell in scores else "" for cell in cells]
        levels = ", ".join(map(str, sheet.tasks[task].levels))
        rows.append([task, levels, *texts, percent(next(iter(scores.values())).chance)])
    for cell in cells:
        own = [output for output in outputs if output.cell == cell]
        shares = [sum(output.status == s for output in own) / len(own) for s in ("truncated", "unparsed")]
        bad.append([cell.title, *map(percent, shares), percent(sum(output.loops for output in own) / len(own)),
                    f"{sum(output.thinking_tokens for output in own) / len(own):.0f}"])  # fmt: skip
    same, asked = facts.same
    budget = next((f" `{c.title}` is a thinking budget of {c.budget} tokens." for c in cells if c.budget), "")
    kept = f" {same} of {asked} greedy answers are those of the weights as they were trained." if asked else ""
    return [
        "## What was measured", "",
        f"These files, asked {sheet.n} questions a task that they have never seen, with their own sampling values: "
        f"share of right answers, 95 % interval.{budget} Without any step: the accuracy of the best answer that takes "
        "none. Thought tokens are a mean, and the sentence that hands over to the answer is among them.", "",
        *table(["task", "levels", *(cell.title for cell in cells), "without any step"], rows),
        *table(["", "cut off", "not read", "loops", "thought tokens"], bad),
        f"One answer at a time on {facts.machine}: its first word after {facts.clock.first:.0f} ms, all of it after "
        f"{facts.clock.whole:.0f} ms, {facts.clock.rate:,.0f} tokens a second (medians).{kept}", "",
    ]  # fmt: skip


def _earlier(results: Mapping[str, Result]) -> list[str]:
    """The stages before it, as the run evaluated them: a row for each and mode."""
    if not results:
        return []
    tasks = list(dict.fromkeys(s.task for result in results.values() for s in result.scores))
    rows = []
    for name, result in results.items():
        for cell in dict.fromkeys(s.cell for s in result.scores if s.cell.budget is None):
            scores = {s.task: s for s in result.scores if s.level is None and s.cell == cell}
            texts = [estimate_text(scores[task].pass_1) if task in scores else "" for task in tasks]
            rows.append([name, cell.mode, *texts])
    return ["## Its stages", "", "As the run evaluated them, in float32 and greedily.", "",
            *table(["stage", "mode", *tasks], rows)]  # fmt: skip


def _overall(result: Result) -> dict[Cell, Score]:
    """Of the result of one task, over all levels."""
    return {score.cell: score for score in result.scores if score.level is None}
