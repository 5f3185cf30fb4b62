"""`ponder train package CARD --out RUN --to FOLDER`: the folder, made whole or not at all.

    weights in bfloat16, tokenizer, generation_config.json        loads in Ponder, transformers and others
    README.md                                                     the card: what was made, measured, and what it cannot
    card.json                                                     the same for Ponder, with a hash of every file
    stages.json                                                   every section of the recipe, as it ran

The base model goes into dist/NAME-base.tar.gz.
"""

import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.eval import manifest
from ponder.eval.grade import Output
from ponder.eval.manifest import Result
from ponder.eval.run import run as ask
from ponder.eval.settings import Settings
from ponder.model.card import CARD, Card
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import open_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.package.readme import Facts, about, readme
from ponder.train.package.run_folder import Made, Run
from ponder.train.package.sheet import Sheet, read_sheet
from ponder.train.package.speed import machine, speed
from ponder.train.recipe.command import HOME
from ponder.train.stage import MODEL
from ponder.train.stages.evaluate import RESULT

README, STAGES = "README.md", "stages.json"
COMPARED = 40  # questions a task that the weights as they were trained are asked, too
RELEASE = Path("dist")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def package(sheet_file: Path, out: Path | None, to: Path | None, stage: str | None = None) -> None:
    """out: where the stages lie, by default where the recipe puts them. to: is replaced where it is an earlier
    package. stage: another one than the sheet's."""
    sheet = read_sheet(sheet_file)
    sheet = replace(sheet, stage=stage or sheet.stage)
    run, to = Run(out or HOME / Path(sheet.recipe).stem), to or RELEASE / sheet.name
    made = run.find(sheet.stage)
    base = run.find(sheet.base) if sheet.base else None
    if to.exists() and not (to / CARD).is_file():
        raise UserError(f"{to} is there and is no package of a model: name another --to", param="to")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}-") as work:
        folder = Path(work) / to.name
        write_model(made.folder / MODEL, folder, sheet)
        write_card(sheet, run, made, folder)
        if to.exists():
            shutil.rmtree(to)
        folder.rename(to)
    size = sum(file.stat().st_size for file in to.iterdir())
    say(f"{to}: {size / 1e6:.1f} MB, from {made.folder}")
    if base is not None:
        say(f"{archive(base, sheet)}: the model before tuning, from {base.folder}")


def write_model(source: Path, folder: Path, sheet: Sheet) -> None:
    """sampling: the values of the card. Both ends of a turn, as Qwen3's own file has them."""
    save_hf(folder, open_checkpoint(source), "bf16", copy_from=source)
    control = Tokenizer.from_path(source).control
    given = sheet.sampling
    how = {"do_sample": True, **msgspec.to_builtins(given)} if given.temperature else {"do_sample": False}
    ends = [control[name] for name in ("<|im_end|>", "<|endoftext|>")]
    generation = {"eos_token_id": ends, "pad_token_id": control["<|endoftext|>"], **how}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def write_card(sheet: Sheet, run: Run, made: Made, folder: Path) -> None:
    """What the files are asked decides what the card says."""
    needed, line = run.needed(made), run.line(made)
    stages = [{"folder": each.folder.name, **each.identity} for each in needed]
    (folder / STAGES).write_text(json.dumps(stages, indent=1) + "\n")
    earlier = {
        each.name: manifest.load(found.folder / RESULT)
        for each in line if (found := run.of_kind("eval", each)) is not None
    }  # fmt: skip
    answer = msgspec.to_builtins(sheet.sampling)
    card = Card(about=sheet.title, examples=sheet.examples, stage=made.folder.name, answer=answer)
    (folder / CARD).write_bytes(msgspec.json.encode(card))  # for its sampling values: it is asked with them
    with LLM(folder) as llm:
        say(f"{sheet.name}: asked {sheet.n} questions of {', '.join(sheet.tasks)}")
        results = {task: measured(llm, sheet.name, sheet.settings(task)) for task in sheet.tasks}
        check_answers([output for result in results.values() for output in result.outputs])
        same = agreement(llm, earlier.get(made.name))
        clock = speed(llm, sheet.examples or ("Hello",))
        config = open_checkpoint(folder).config
    facts = Facts(config=config, machine=machine(), clock=clock, same=same)
    said = about(sheet, config, results)
    (folder / README).write_text(readme(sheet, said, facts, line, needed, results, earlier), encoding="utf-8")
    files = manifest.digests(sorted(file for file in folder.iterdir() if file.is_file() and file.name != CARD))
    card = replace(card, about=said, recipe=files[STAGES], files=files)
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
    say(said)


def measured(llm: LLM, name: str, settings: Settings) -> Result:
    model = manifest.ModelCard(name=name, capability=llm.profile.capability)
    return manifest.result_of(manifest.manifest_of(model, settings, "ponder train package"), ask(llm, settings))


def check_answers(outputs: Sequence[Output]) -> None:
    """Raises UserError for a model that does not end what it says: it would be no use to anybody."""
    for cell in dict.fromkeys(output.cell for output in outputs if output.cell.budget is None):
        own = [output for output in outputs if output.cell == cell]
        ended = sum(output.finish == "stop" and bool(output.answer.strip()) for output in own)
        if 2 * ended < len(own):
            raise UserError(f"in {cell.title} only {ended} of {len(own)} answers ended: this model is not packaged",
                            param="stage")  # fmt: skip


def agreement(llm: LLM, before: Result | None) -> tuple[int, int]:
    """(equal, asked): of the answers that the run kept of this stage, those that these files give as well."""
    if before is None:
        return 0, 0
    settings = before.manifest.settings
    few = replace(settings, n=min(settings.n, COMPARED), budgets=(None,), samples=1)
    told = {output.key: output.answer for output in before.outputs}
    both = [(told[output.key], output.answer) for output in ask(llm, few) if output.key in told]
    return sum(a == b for a, b in both), len(both)


def archive(base: Made, sheet: Sheet) -> Path:
    """NAME-base.tar.gz with a folder of that name."""
    RELEASE.mkdir(parents=True, exist_ok=True)
    name = f"{sheet.name}-base"
    with tempfile.TemporaryDirectory(dir=RELEASE) as work:
        folder = Path(work) / name
        save_hf(folder, open_checkpoint(base.folder / MODEL), "bf16", copy_from=base.folder / MODEL)
        (folder / README).write_text(
            f"# {sheet.title}, before tuning\n\nThe model of stage {base.name} ({base.folder.name}), made by "
            f"`ponder train {sheet.recipe}`: it continues text, and answers nothing.\n"
        )
        path = RELEASE / f"{name}.tar.gz"
        with tarfile.open(Path(work) / path.name, "w:gz") as tar:
            tar.add(folder, arcname=name)
        (Path(work) / path.name).rename(path)
    return path
