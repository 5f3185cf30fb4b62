"""`ponder data`: sources in, one clean text out, with a report and a manifest.

    OUT/clean/NAME-0000-HASH.jsonl   documents of a lot of files, read and cleaned; made once
    OUT/answers/                     of models that read pages or correct texts, by what they were asked
    OUT/text.jsonl                   all of them in order, without shared lines and repeated documents
    OUT/manifest.json                sources, licences, versions, bytes; what made it
    OUT/report.json, report.md       counts in and out of each step, samples of what was left out, speed

Killed anywhere and run again, text.jsonl has the same bytes.
"""

import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout
from msgspec.structs import replace

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.clean import clean
from ponder.data.document import UNREADABLE
from ponder.data.fetch.hub import DataSet
from ponder.data.join import join
from ponder.data.plan import Lot, Plan, Say, plan
from ponder.data.read.table import FULL
from ponder.data.recipe import DataRecipe
from ponder.data.report import Report, markdown
from ponder.data.steps.counts import Counts

TEXT, MANIFEST, REPORT, PAGE, LOCK = "text.jsonl", "manifest.json", "report.json", "report.md", ".lock"
ANSWERS = "answers"


def make(
    recipe: DataRecipe, out: Path, *, sample: int | None, workers: int, say: Say, hub: DataSet | None = None
) -> Report:
    """sample: bytes to read in all; None: everything. workers: processes. hub: fetches data sets. Raises UserError
    where a source cannot be used, or where another run has the folder."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, timeout=0):
            return _make(recipe, out, plan(recipe, out / "packages", sample, say, hub), sample, workers, say)
    except Timeout as e:
        raise UserError(f"another run works in {out}; wait for it, or take another --out", param="out") from e
    except OSError as e:
        if e.errno not in FULL:
            raise
        raise UserError(
            f"{e.strerror}{f' ({e.filename})' if e.filename else ''}: lots that are finished are whole. Make room, and "
            "the same command goes on",
            param="out", code="disk_full",
        ) from e  # fmt: skip


def _make(recipe: DataRecipe, out: Path, todo: Plan, sample: int | None, workers: int, say: Say) -> Report:
    (out / "clean").mkdir(exist_ok=True)
    made = list(_cleaned(todo.lots, recipe, out / "clean", workers, say))
    by_source: dict[str, Counts] = {source.name: Counts() for source in recipe.sources}
    for lot, (_, counts) in zip(todo.lots, made, strict=True):
        by_source[lot.source.name].add(msgspec.json.decode(counts.read_bytes(), type=Counts))
    _check_unreadable(recipe, by_source, say)
    report = Report(name=recipe.name, sources=by_source)
    report.sha256 = join([documents for documents, _ in made], recipe, out / TEXT, report)
    _write(out / MANIFEST, _manifest(recipe, todo, report, sample))
    _write(out / REPORT, msgspec.to_builtins(report))
    with replacing(out / PAGE) as file:
        file.write(markdown(report).encode())
    return report


def _cleaned(
    lots: Sequence[Lot], recipe: DataRecipe, folder: Path, workers: int, say: Say
) -> Iterator[tuple[Path, Path]]:
    work = partial(
        clean, cleaning=recipe.cleaning, folder=folder,
        models=replace(recipe.models, answers=folder.parent / ANSWERS),
    )  # fmt: skip
    if workers == 1 or len(lots) == 1:
        results: Iterator[tuple[Path, Path]] = map(work, lots)
        yield from _told(results, lots, say)
        return
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield from _told(pool.map(work, lots), lots, say)
    except BrokenProcessPool as e:
        raise UserError(
            "a process of this run was killed: the memory did not suffice, or a file crashed its reader. Lots that are "
            "finished are whole; with --workers 1 the last line before the end names the lot before that one",
            param="workers",
        ) from e


def _told(results: Iterator[tuple[Path, Path]], lots: Sequence[Lot], say: Say) -> Iterator[tuple[Path, Path]]:
    for n, result in enumerate(results):
        say(f"{n + 1}/{len(lots)} {lots[n].source.name}")
        yield result


def _check_unreadable(recipe: DataRecipe, by_source: dict[str, Counts], say: Say) -> None:
    for name, counts in by_source.items():
        for file, why in counts.unreadable.items():
            say(f"left out: {name}: {file} {why}")
        if len(counts.unreadable) > recipe.unreadable * counts.files:
            file, why = next(iter(counts.unreadable.items()))
            raise UserError(
                f"source {name}: {len(counts.unreadable)} of {counts.files} files cannot be read (the first, {file}, "
                f"{why}); correct the source's files or format, or raise `unreadable`, a share, in the recipe",
                param="unreadable",
            )
        lost = counts.dropped.get(UNREADABLE, 0)
        if lost > recipe.unreadable * (counts.documents + lost):
            raise UserError(
                f"source {name}: {lost} of {counts.documents + lost} documents inside its files cannot be read (the "
                f"first, {counts.samples[UNREADABLE][0]}); correct the source's files or format, or raise `unreadable`",
                param="unreadable",
            )


def _manifest(recipe: DataRecipe, todo: Plan, report: Report, sample: int | None) -> dict[str, Any]:
    files: Counter[str] = Counter()
    licences: dict[str, set[str]] = {source.name: set() for source in recipe.sources}
    for lot in todo.lots:
        files[lot.source.name] += len(lot.files)
        licences[lot.source.name] |= {file.licence_file for file in lot.files} - {""}
    sources = [
        {
            "name": source.name, "licence": source.licence, "packages": todo.versions[source.name],
            "models": recipe.models.identity(source.name), "files": files[source.name],
            "licence_files": sorted(licences[source.name]),
            "bytes": report.sources[source.name].read_bytes,
            "lots": [lot.identity for lot in todo.lots if lot.source is source],
        }
        for source in recipe.sources
    ]  # fmt: skip
    return {
        "name": recipe.name, "seed": recipe.seed, "similar": recipe.similar,
        "tokenizer": recipe.tokenizer, "sample": sample,
        "rules": msgspec.to_builtins(recipe.cleaning.rules),
        "held_out": msgspec.to_builtins(recipe.cleaning.held_out), "sources": sources,
        "text": {"file": TEXT, "sha256": report.sha256},
    }  # fmt: skip


def _write(path: Path, value: object) -> None:
    with replacing(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n")
