"""What `ponder eval` writes and says of results: files, comparisons, tables, judgements."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli.terminal.printer import note
from ponder.cli.terminal.progress import progress
from ponder.core.atomic import replacing
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.core.event import TokenLogprob
    from ponder.core.params import SamplingParams
    from ponder.core.protocol import ChatModel
    from ponder.engine.llm import LLM
    from ponder.eval.manifest import Result


def tables(compared: list[Path] | None, tabled: list[Path] | None, html: Path | None) -> int:
    from ponder.eval.compare import compare
    from ponder.eval.manifest import load
    from ponder.eval.tables import comparison, heat_map, stages

    if compared:
        before, after = map(load, compared)
        print(comparison((compared[0].stem, compared[1].stem), compare(before, after)), end="")
    if tabled:
        results = {path.stem: load(path) for path in tabled}
        if len(results) < len(tabled):
            raise UserError("two of the results have one name: the columns need names of their own", param="table")
        print(stages(results), end="")
        if html:
            with replacing(html) as file:
                file.write(heat_map(results).encode())
    return 0


def judged(model: "ChatModel", ours: Path, theirs: Path, *, seed: int, in_flight: int, json: Path | None) -> None:
    import msgspec

    from ponder.eval.judge import judge, summary
    from ponder.eval.manifest import load
    from ponder.eval.tables import pairs_of

    with progress("pairs") as tick:
        found = judge(model, pairs_of(load(ours), load(theirs)), seed=seed, in_flight=in_flight, tick=tick)
    if json:
        with replacing(json) as file:
            file.write(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    sys.stdout.write(summary(found))


class _Completing:
    """A model of this process as base evaluation asks it: text goes on as text."""

    def __init__(self, llm: "LLM") -> None:
        self._llm = llm

    def tokenize(self, text: str) -> list[int]:
        return self._llm.tokenize(text)

    def prompt_logprobs(self, ids: list[int], top: int = 0) -> "tuple[TokenLogprob, ...]":
        return self._llm.prompt_logprobs(ids, top)

    def complete(self, prompts: Sequence[str], sampling: "SamplingParams") -> list[str]:
        return [made.text for made in self._llm.generate(list(prompts), sampling)]


def base(llm: "LLM", tasks: list[str], data: dict[str, str], shots: dict[str, str], n: int, json: Path | None) -> None:
    import msgspec

    from ponder.eval.base.run import ask, scores_of
    from ponder.eval.report import estimate_text, table

    files, solved = ({name: Path(path) for name, path in given.items()} for given in (data, shots))
    with progress("questions") as tick:
        answers = ask(_Completing(llm), tasks, files, solved, n=n, tick=tick)
    scores = scores_of(answers)
    if json:
        with replacing(json) as file:
            file.write(
                msgspec.json.format(msgspec.json.encode({"scores": scores, "answers": answers}), indent=1) + b"\n"
            )
    rows = [[s.task, str(s.shots), estimate_text(s.accuracy), str(s.accuracy.n)] for s in scores]
    print("\n".join(table(("task", "shots", "accuracy", "questions"), rows)), end="")


def named(given: list[str]) -> dict[str, str]:
    """ "gsm8k=test.jsonl" """
    pairs = [one.partition("=") for one in given]
    if bad := next((name for name, is_, path in pairs if not is_ or not path), None):
        raise UserError(f"{bad!r}: a file is given as NAME=FILE", param="data")
    return {name: str(Path(path).expanduser()) for name, _, path in pairs}


def write(result: "Result", args: argparse.Namespace) -> None:
    from ponder.eval.manifest import save, unfinished
    from ponder.eval.report import html, markdown

    text = markdown(result)
    if args.md:
        with replacing(args.md) as file:
            file.write(text.encode())
    if args.html:
        with replacing(args.html) as file:
            file.write(html(result, seconds=args.seconds).encode())
    if args.json:
        save(result, args.json)
        unfinished(args.json).unlink()
    print(text, end="")


def compare_again(before: "Result", after: "Result") -> None:
    from ponder.eval.manifest import differences

    old = {o.key: (o.reasoning, o.answer) for o in before.outputs}
    same = sum(old.get(o.key) == (o.reasoning, o.answer) for o in after.outputs)
    note(f"{same} of {len(after.outputs)} answers are the same as in {len(old)} before")
    for difference in differences(before.manifest, after.manifest):
        note(f"not the same as before: {difference}")
