"""`ponder eval MODEL`: scores on tasks with verifiers, thinking and not, over a row of budgets.

ponder eval qwen3:0.6b --tasks count,swap --budgets 0,32,128,none --json result.json --html result.html
"""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli import options
from ponder.cli.terminal.eval_results import base, compare_again, judged, named, tables, write
from ponder.cli.terminal.printer import note
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.core.protocol import ChatModel
    from ponder.engine.llm import LLM
    from ponder.eval.grade import Output
    from ponder.eval.manifest import Manifest, ModelCard, Result
    from ponder.eval.settings import Settings

DESCRIPTION = "Score a model on tasks with verifiers: thinking, not thinking, and over a row of thinking budgets."
NOTES = """\
MODEL is what `ponder run` takes, or the URL of a server with OpenAI's API. The tables go to stdout as Markdown.

Only the answer is graded, never the thoughts; thoughts that do not end are wrong. Scores have 95 % intervals over
problems. Answers that were cut off, could not be read or went round in a loop are counted beside each score, and
marked red above 2 %. Before anything is asked, the verifiers are tried on labelled answers.

--json keeps everything: the scores, the curve, each answer as the model gave it, and a manifest (weights, tokenizer,
template, tasks, sampling, seeds, versions). --repeat FILE asks the same again and compares the answers. While
it runs, answers are in FILE.unfinished; after Ctrl-C, --resume goes on from there.

examples:
  ponder eval qwen3:0.6b --tasks count,add --n 200 --json result.json --html result.html
  ponder eval qwen3:0.6b --tasks swap --modes think --budgets 0,32,64,128,none --levels 0-3
  ponder eval http://localhost:8000/v1 --served-model Qwen/Qwen3-8B --tasks add --samples 4
  ponder eval --repeat result.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model, or the URL of a server")
    what = parser.add_argument_group("what is asked")
    what.add_argument("--tasks", metavar="A,B", help="names of tasks, see docs/tasks.md (default: all)")
    what.add_argument("--modes", metavar="A,B", help="think, no_think (default: those that the model has)")
    what.add_argument("--budgets", metavar="N,N", help="most tokens of a thought; none is no limit (default: none)")
    what.add_argument("--levels", metavar="L", help="levels of the tasks, such as 0-3,5 (default: all)")
    what.add_argument("--n", type=int, default=100, help="problems of each task, over its levels (default: 100)")
    what.add_argument(
        "--samples", type=int, default=1, metavar="K", help="answers to each problem, for pass@k and maj@k (default: 1)"
    )
    what.add_argument(
        "--split", choices=("test", "validation", "train"), default="test", help="which questions (default: test)"
    )
    what.add_argument("--seed", type=int, default=0, metavar="N", help="of the questions and of the draws (default: 0)")
    what.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="the file of a released benchmark, such as gsm8k=test.jsonl; may be repeated",
    )
    what.add_argument(
        "--as-reported", action="store_true", help="ask released benchmarks whole, with the Qwen3 report's settings"
    )
    what.add_argument("--base", action="store_true", help="MODEL is a base model: few-shot, without chat")
    what.add_argument("--shots", action="append", default=[], metavar="NAME=FILE", help="with --base: solved questions")
    out = parser.add_argument_group("what is kept")
    out.add_argument("--json", type=Path, metavar="FILE", help="everything, for programs and for --repeat")
    out.add_argument("--html", type=Path, metavar="FILE", help="one page with curves and tables")
    out.add_argument("--md", type=Path, metavar="FILE", help="the tables as Markdown")
    out.add_argument("--resume", action="store_true", help="go on with the unfinished run of this --json FILE")
    out.add_argument(
        "--cache",
        type=Path,
        metavar="FILE",
        help="answers that were given before are taken from here, and new ones are kept",
    )
    out.add_argument("--seconds", action="store_true", help="measure what an answer takes, too")
    over = parser.add_argument_group("over results (--json files); MODEL is not asked")
    over.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar="FILE",
        help="two models problem by problem: differences with intervals",
    )
    over.add_argument(
        "--table",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="tasks against models and modes; with --html also languages as a heat map",
    )
    over.add_argument(
        "--pairs",
        type=Path,
        nargs=2,
        metavar="FILE",
        help="MODEL judges the answers of the first against those of the second, in both orders",
    )
    out.add_argument("--repeat", type=Path, metavar="FILE", help="ask what this --json result asked, and compare")
    sampling = parser.add_argument_group("sampling (defaults come from the model, per mode)")
    for name, (kind, text) in options.SAMPLING.items():
        if name != "seed":
            sampling.add_argument(
                f"--{name.replace('_', '-')}", type=kind, help=text, metavar="N" if kind is int else "X"
            )
    options.add_served_flags(parser)
    options.add_load_flags(parser)


def run(args: argparse.Namespace) -> int:
    from ponder.eval.manifest import load, manifest_of
    from ponder.eval.settings import check_capability

    if args.compare or args.table:
        return tables(args.compare, args.table, args.html)
    if args.resume and args.json is None:
        raise UserError("--resume needs the --json FILE of the run that was interrupted", param="resume")
    if args.in_flight < 1:
        raise UserError(f"--in-flight must be 1 or more, got {args.in_flight}", param="in-flight")
    for path in (args.json, args.html, args.md):  # found out now, not after hours
        if path is not None and not path.absolute().parent.is_dir():
            raise UserError(f"{path}: there is no folder {path.parent}")
    if args.pairs:
        return _judge(args)
    if args.base:
        return _base(args)
    before = load(args.repeat) if args.repeat else None
    name = args.model or (before.manifest.model.name if before else None)
    if name is None:
        raise UserError("name a MODEL, or a result to --repeat", param="model")
    wanted = before.manifest.settings if before else _settings(args)
    with _opened(name, args) as (model, card):
        settings = before.manifest.settings if before else _with_modes(wanted, args, card.capability)
        check_capability(settings, card.name, card.capability)
        command = shlex.join(["ponder", *sys.argv[1:]])
        manifest = manifest_of(card, settings, command)
        result = _evaluated(model, manifest, args, card)
    write(result, args)
    if before:
        compare_again(before, result)
    return 0


def _settings(args: argparse.Namespace) -> "Settings":
    """As far as they do not depend on the model: a wrong word should not cost the loading of one."""
    from ponder.core.params import SamplingParams
    from ponder.eval.settings import MODES, Settings, budgets_of, levels_of, modes_of
    from ponder.tasks.table import TASKS

    sampling = SamplingParams(**{n: getattr(args, n) for n in options.SAMPLING if n != "seed"})
    return Settings(
        tasks=tuple(TASKS) if args.tasks is None else tuple(t.strip() for t in args.tasks.split(",")),
        modes=MODES if args.modes is None else modes_of(args.modes),
        budgets=(None,) if args.budgets is None else budgets_of(args.budgets),
        levels=None if args.levels is None else levels_of(args.levels),
        n=args.n,
        samples=args.samples,
        seed=args.seed,
        split=args.split,
        sampling=sampling,
        data=_data(args.data),
        as_reported=args.as_reported,
    ).checked()


def _data(given: list[str]) -> dict[str, str]:
    from ponder.tasks.published.table import RELEASED
    from ponder.tasks.table import GOALS

    found = named(given)
    for name in found:
        if name not in RELEASED and name != GOALS:
            raise UserError(f"--data is NAME=FILE with {GOALS} or {', '.join(RELEASED)}; got {name!r}", param="data")
    return found


def _with_modes(settings: "Settings", args: argparse.Namespace, capability: str) -> "Settings":
    """Without --modes a model is asked in those that it has; budgets ask to see it think."""
    from msgspec import structs

    from ponder.eval.settings import modes_for

    if args.modes is not None or args.budgets is not None:
        return settings
    return structs.replace(settings, modes=modes_for(capability))  # type: ignore[arg-type]


@contextmanager
def _opened(name: str, args: argparse.Namespace) -> "Iterator[tuple[ChatModel, ModelCard]]":
    from ponder.cli.loading import check_served, is_url, open_llm, open_remote
    from ponder.eval.manifest import ModelCard

    if is_url(name):
        with open_remote(name, args) as remote:
            served = f"{remote.name} at {name}"  # asks the server, so that the profile knows what it can
            yield remote, ModelCard(name=name, capability=remote.profile.capability, loaded={"served": served})
        return
    check_served(args)
    with open_llm(name, args) as llm:
        yield llm, _card(name, llm, args)


def _card(name: str, llm: "LLM", args: argparse.Namespace) -> "ModelCard":
    import hashlib

    from ponder.core.message import Message
    from ponder.eval.manifest import ModelCard, digests

    path = llm.path
    assert path is not None
    kinds = (".safetensors", ".json", ".jinja", ".txt")
    files = sorted(p for p in path.iterdir() if p.suffix in kinds) if path.is_dir() else [path]
    probe = [Message.system("Be brief."), Message.user("1+1?"), Message.assistant("2"), Message.user("2+2?")]
    prompts = [llm.render(probe), *([llm.render(probe, thinking=False)] if llm.profile.capability == "hybrid" else [])]
    ids = repr([list(p.ids) for p in prompts]).encode()
    return ModelCard(
        name=name,
        capability=llm.profile.capability,
        files=digests(files),
        prompts=hashlib.sha256(ids).hexdigest(),
        loaded={"dtype": args.dtype, "kv_dtype": args.kv_dtype, "max_context": str(llm.profile.context)},
    )


def _base(args: argparse.Namespace) -> int:
    from ponder.cli.loading import open_llm

    if args.model is None or not args.tasks:
        raise UserError("--base needs a MODEL and --tasks, such as mmlu,gsm8k", param="base")
    names = [task.strip() for task in args.tasks.split(",")]
    with open_llm(args.model, args) as llm:
        base(llm, names, named(args.data), named(args.shots), args.n, args.json)
    return 0


def _judge(args: argparse.Namespace) -> int:
    if args.model is None:
        raise UserError("name the MODEL that judges", param="model")
    with _opened(args.model, args) as (model, _):
        judged(model, *args.pairs, seed=args.seed, in_flight=args.in_flight, json=args.json)
    return 0


def _evaluated(model: "ChatModel", manifest: "Manifest", args: argparse.Namespace, card: "ModelCard") -> "Result":
    from ponder.cli.terminal.progress import progress
    from ponder.eval import manifest as files
    from ponder.eval.cache import Cache
    from ponder.eval.run import run as ask

    cache = Cache(args.cache, card) if args.cache else None
    done: list[Output] = []
    kept = files.unfinished(args.json) if args.json else None
    if kept is not None and kept.exists():
        if not args.resume:
            raise UserError(f"{kept} is an unfinished run: --resume goes on with it; or delete it", param="resume")
        done = files.resume(kept, manifest)
        note(f"going on after {len(done)} answers")
    start, file = time.monotonic(), files.begin(kept, manifest, done) if kept else None
    try:
        with progress("answers") as tick:
            outputs = ask(
                model,
                manifest.settings,
                done=done,
                in_flight=args.in_flight,
                cache=cache,
                clock=time.monotonic if args.seconds else lambda: 0.0,
                tick=tick,
                keep=lambda output: files.append(file, output) if file else None,
            )
    except BaseException:
        if kept is not None:
            note(f"what was answered is in {kept}; the same command with --resume goes on")
        raise
    finally:
        if file:
            file.close()
    known = f", {cache.hits} of them known before" if cache else ""
    note(f"{len(outputs) - len(done)} answers in {time.monotonic() - start:.1f} s{known}")
    return files.result_of(manifest, outputs)
