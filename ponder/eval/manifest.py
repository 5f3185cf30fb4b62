"""What an evaluation was made of: enough for the same command to give the same score, and to see why it does not.

The whole result is one JSON file: manifest, scores, curve, and every output as the model gave it. While a run goes on
its outputs are in a file beside it, one a line, so that Ctrl-C and a crash lose nothing that was finished.
"""

import hashlib
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from msgspec import Struct, structs

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.event import Effective
from ponder.core.params import Capability
from ponder.eval.curve import Point, Score, curve_of, scores_of
from ponder.eval.grade import Output
from ponder.eval.settings import Cell, Settings
from ponder.tasks.labelled import check

FORMAT = 1


class ModelCard(Struct, frozen=True, kw_only=True):
    """Who was asked. files: digest of each file of the model (weights, tokenizer, template); none for an endpoint.
    prompts: digest of the ids of a fixed conversation in both modes, which tokenizer and template make; "" where
    another server renders. dtype and the like are in `loaded`."""

    name: str
    capability: Capability
    files: dict[str, str] = {}
    prompts: str = ""
    loaded: dict[str, str] = {}


class Held(Struct, frozen=True):
    """The sampling values that held in one cell, defaults included."""

    cell: Cell
    values: Effective


class Manifest(Struct, frozen=True, kw_only=True):
    """tasks: the fingerprint of each. checked: right and wrong labelled answers that its verifier was tried on."""

    format: int
    command: str
    model: ModelCard
    settings: Settings
    tasks: dict[str, str]
    checked: dict[str, tuple[int, int]]
    versions: dict[str, str]
    sampling: tuple[Held, ...] = ()


class Result(Struct, frozen=True, kw_only=True):
    manifest: Manifest
    scores: tuple[Score, ...]
    curve: tuple[Point, ...]
    outputs: tuple[Output, ...]


def manifest_of(model: ModelCard, settings: Settings, command: str) -> Manifest:
    """Tries the verifiers first. Raises VerifierError for one that judges labelled answers wrongly."""
    checked = {task.name: check(task) for task in settings.found()}
    return Manifest(
        format=FORMAT,
        command=command,
        model=model,
        settings=settings,
        tasks={task.name: task.fingerprint() for task in settings.found()},
        checked={name: (c.right, c.wrong) for name, c in checked.items()},
        versions={
            "ponder": version("ponder-llm"),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": f"{platform.system()} {platform.machine()}",
        },
    )


def result_of(manifest: Manifest, outputs: Sequence[Output]) -> Result:
    held = {(o.cell, o.effective): Held(o.cell, o.effective) for o in outputs}
    return Result(
        manifest=structs.replace(manifest, sampling=tuple(held.values())),
        scores=tuple(scores_of(manifest.settings, outputs)),
        curve=tuple(curve_of(manifest.settings, outputs)),
        outputs=tuple(outputs),
    )


def save(result: Result, path: Path) -> None:
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def load(path: Path) -> Result:
    """Raises UserError for a file that is none of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as e:
        raise UserError(f"{path}: {e.strerror}") from e
    except msgspec.MsgspecError as e:
        raise UserError(f"{path} is no result of `ponder eval --json`: {e}") from e


def differences(old: Manifest, new: Manifest) -> list[str]:
    """In which of the things that decide the outputs two manifests differ, in words."""
    found = []
    for name in ("model", "settings"):
        before, after = structs.asdict(getattr(old, name)), structs.asdict(getattr(new, name))
        found += [f"{name}.{key}: {before[key]} was, {after[key]} is" for key in before if before[key] != after[key]]
    for key in old.tasks.keys() & new.tasks.keys():
        if old.tasks[key] != new.tasks[key]:
            found.append(f"task {key}: it asks other questions now")
    for key, value in old.versions.items():
        if value != new.versions.get(key):
            found.append(f"version of {key}: {value} was, {new.versions.get(key)} is")
    return found


# -- an unfinished run ----------------------------------------------------------------------------------------------


def unfinished(path: Path) -> Path:
    """Where the outputs are while the run goes on whose result will be at `path`."""
    return path.with_name(path.name + ".unfinished")


def begin(path: Path, manifest: Manifest, done: Iterable[Output]) -> IO[bytes]:
    """The file for outputs: its manifest in the first line, and what was done before."""
    with replacing(path) as file:
        file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in (manifest, *done)))
    return path.open("ab")


def append(file: IO[bytes], output: Output) -> None:
    file.write(msgspec.json.encode(output) + b"\n")
    file.flush()


def resume(path: Path, manifest: Manifest) -> list[Output]:
    """The outputs of an unfinished run. Raises UserError when it was of another model, task or setting. A last line
    that was cut is left out."""
    first, *lines = path.read_bytes().split(b"\n")
    try:
        old = msgspec.json.decode(first, type=Manifest)
        outputs = [msgspec.json.decode(line, type=Output) for line in lines[:-1]]
    except msgspec.MsgspecError as e:
        raise UserError(f"{path} is no unfinished run: {e}; delete it to begin again", param="resume") from e
    if found := differences(old, manifest):
        raise UserError(f"{path} is of another run. {found[0]}. Delete it to begin again", param="resume")
    return outputs


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of the whole of each file, by name."""
    found = {}
    for path in paths:
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
