"""`ponder data`: text from files and packages, clean and without repetitions, with a report; and labels for it."""

import argparse
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from ponder.cli import options
from ponder.core.errors import UserError
from ponder.kernels.cpu import usable_cpus

DESCRIPTION = "Make text to learn from: read, mended, judged, identified, scrubbed, without repetitions, with a report."
NOTES = """examples:
  ponder data recipes/data/packaged.toml --sample 5MB   a sample of every source, in runs/data/packaged
  ponder data my.toml --out clean --workers 8           everything, by eight processes
  ponder data write clean --teacher Qwen/Qwen3-4B       textbooks, questions, tasks and code, from what a folder has
  ponder data mix recipes/mix/small.toml                which mixture of labelled text is best, by proxy models
  ponder data label clean --teacher Qwen/Qwen3-4B       an annotator, from what a teacher says about some documents
  ponder data label clean --labels mine.jsonl           an annotator, from labels that are there

The same command goes on where it was interrupted: lots of files that are finished are not read again, and a teacher is
asked nothing twice. docs/data.md explains recipes, steps, labels and the report."""

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="RECIPE | label FOLDER | write FOLDER | mix RECIPE",
                        help="a file such as recipes/data/packaged.toml; or label or write and a finished folder; or "
                        "mix and a file such as recipes/mix/small.toml")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="PATH",
                        help="where everything goes (default: runs/data/NAME); label: the annotator's file (default: "
                        "annotator.npz in FOLDER)")  # fmt: skip
    parser.add_argument("--sample", metavar="SIZE", help="read about so much in all, such as 5MB, from every source "
                        "alike; label, write: so many documents (default: 2000)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=usable_cpus(), metavar="N",
                        help="processes (default: one a CPU)")  # fmt: skip
    labels = parser.add_argument_group("label and write")
    labels.add_argument("--teacher", metavar="MODEL", help="a model, or the URL of a server, that labels a sample, or "
                        "writes from one")  # fmt: skip
    labels.add_argument("--form", action="append", default=[], metavar="FORM",
                        help="write: textbook, questions, instruction or code; repeat (default: all)")  # fmt: skip
    labels.add_argument("--labels", type=Path, action="append", default=[], metavar="FILE",
                        help="in place of a teacher: JSON lines of texts and labels; repeat for more")  # fmt: skip
    options.add_served_flags(parser)
    options.add_load_flags(parser)


def run(args: argparse.Namespace) -> int:
    word = args.words[0] if len(args.words) > 1 and args.words[0] in ("label", "write", "mix") else ""
    names = args.words[1:] if word else args.words
    if len(names) != 1:
        raise UserError("name one RECIPE, a file such as recipes/data/packaged.toml", param="recipe")
    if word == "mix":
        return _mix(Path(names[0]), args.out)
    if find_spec("trafilatura") is None:
        raise UserError("ponder data needs more packages: pip install 'ponder-llm[data]'", param="recipe")
    if word == "write":
        return _write(Path(names[0]), args)
    return _label(Path(names[0]), args) if word else _make(Path(names[0]), args)


def _mix(path: Path, out: Path | None) -> int:
    if find_spec("torch") is None:
        raise UserError("mixtures are tried by training: pip install 'ponder-llm[train]'", param="torch")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from ponder.train.recipe.command import mix

    return mix(path, out)


def _make(path: Path, args: argparse.Namespace) -> int:
    if args.workers < 1:
        raise UserError(f"--workers must be 1 or more, got {args.workers}", param="workers")
    from ponder.data.recipe import read_recipe
    from ponder.data.report import markdown
    from ponder.data.run import PAGE, TEXT, make
    from ponder.model.hub.huggingface import data_set

    sample = None if args.sample is None else bytes_of(args.sample)
    recipe = read_recipe(path)
    out = args.out or Path("runs/data") / recipe.name
    report = make(recipe, out, sample=sample, workers=args.workers, say=_say, hub=data_set)
    print(markdown(report))
    _say(f"text: {out / TEXT}, sha256 {report.sha256}\nreport: {out / PAGE}")
    return 0


def _label(folder: Path, args: argparse.Namespace) -> int:
    from ponder.cli.loading import check_served, is_url, open_llm, open_remote
    from ponder.cli.terminal.progress import progress
    from ponder.data.label.make import by_files, by_teacher
    from ponder.data.label.teacher import labeller

    if (args.teacher is None) == (not args.labels):
        raise UserError("give a --teacher, or --labels that are there", param="teacher")
    out = args.out or folder / "annotator.npz"
    if args.labels:
        print(by_files(args.labels, out))
    else:
        count = _documents(args.sample)
        if not is_url(args.teacher):
            check_served(args)
        opened = open_remote(args.teacher, args) if is_url(args.teacher) else open_llm(args.teacher, args)
        with opened as model, progress("labelling") as tick:
            name = f"{args.served_model or ''} {args.teacher}".strip()
            page = by_teacher(
                folder, out, labeller(model), teacher=name, count=count, in_flight=args.in_flight, tick=tick
            )
        print(page)
    _say(f'annotator: {out}; annotator = "{out.absolute()}" in a recipe labels every document')
    return 0


def _write(folder: Path, args: argparse.Namespace) -> int:
    from ponder.cli.loading import check_served, is_url, open_llm, open_remote
    from ponder.cli.terminal.progress import progress
    from ponder.data.run import TEXT
    from ponder.data.write.forms import FORMS
    from ponder.data.write.make import write, writer

    if args.teacher is None:
        raise UserError("who writes? Give a --teacher", param="teacher")
    out = args.out or folder / "written"
    if not is_url(args.teacher):
        check_served(args)
    opened = open_remote(args.teacher, args) if is_url(args.teacher) else open_llm(args.teacher, args)
    with opened as model, progress("writing") as tick:
        name, forms = f"{args.served_model or ''} {args.teacher}".strip(), args.form or list(FORMS)
        done = write(folder, out, writer(model), teacher=name, forms=forms, count=_documents(args.sample),
                     in_flight=args.in_flight, tick=tick)  # fmt: skip
    for reason, count in done.dropped.items():
        print(f"{count:6,} left out, {reason}")
    print(f"{done.documents:6,} documents, {done.asked:,} questions were asked this time")
    _say(f"text: {out / TEXT}, sha256 {done.sha256}")
    return 0


def _documents(sample: str | None) -> int:
    if sample is not None and not (sample.isdecimal() and int(sample)):
        raise UserError(f"--sample of label and write is a number of documents, not {sample!r}", param="sample")
    return int(sample or 2000)


def bytes_of(size: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB|)", size.strip().upper())
    if match is None or float(match[1]) == 0:
        raise UserError(f"a size is a number with KB, MB or GB, such as 5MB, not {size!r}", param="sample")
    return int(float(match[1]) * UNITS[match[2]])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
