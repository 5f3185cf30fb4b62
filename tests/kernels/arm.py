"""The kernels of 64-bit ARM on any Linux machine: compiled by Zig, run by qemu's emulation of one process.

    python tests/kernels/arm.py     # instructions of a product, beside those of the portable kernels

Needs qemu-aarch64 or qemu-aarch64-static (Debian: qemu-user-static) and Zig: the package ziglang, here or where
`make wheels` has put it.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ponder.kernels.packing.panels import Panels
from ponder.kernels.tensor import Kind, Tensor

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "ponder" / "kernels" / "csrc"
BUILD = ROOT / "build" / "arm"
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
COUNTED = ("int8", "int4", "uint4")
Floats = NDArray[np.float32]


def zig() -> list[str] | None:
    """The command, if there is one."""
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang"]
    made = sorted(ROOT.glob("build/wheels/python*/bin/python-zig"))
    return [str(made[0])] if made else None


def isas() -> dict[str, list[str]]:
    """Instruction sets of ARM and their compiler's flags, as CMakeLists.txt has them; from plain to best."""
    text = (ROOT / "CMakeLists.txt").read_text("utf-8")
    arm = text[text.index("aarch64|arm64") :]
    found = re.findall(r"ponder_isa\((\w+) ?(.*)\)", arm[: arm.index("endif()")])
    return {"scalar": [], **{name: flags.split() for name, flags in found}}


@cache
def program(isa: str) -> Path:
    """arm_product.cpp with the kernels of this instruction set; compiled where a source is newer."""
    out = BUILD / isa
    gemm = SOURCES / "gemm"
    sources = [Path(__file__).with_name("arm_product.cpp"), gemm / "linear.cpp", gemm / "linear_panels.cpp"]
    newest = max(path.stat().st_mtime for path in [*sources, *SOURCES.rglob("*.h"), ROOT / "CMakeLists.txt"])
    if not out.exists() or out.stat().st_mtime < newest:
        BUILD.mkdir(parents=True, exist_ok=True)
        command = zig()
        assert command is not None
        for name in ("stddef", "stdint", "stdio", "stdlib", "string"):  # of C; Zig would first compile a C++ library
            (BUILD / f"c{name}").write_text(f"#include <{name}.h>\n")
        flags = ["-O3", "-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", f"-DPONDER_NS={isa}", *isas()[isa]]
        target = [*command, "cc", "-target", "aarch64-linux-musl"]
        objects = [BUILD / f"{isa}-{source.stem}.o" for source in sources]
        for source, made in zip(sources, objects, strict=True):
            subprocess.run([*target, "-c", source, *flags, f"-I{SOURCES}", f"-I{BUILD}", "-o", made], check=True)
        # without the flags: Zig compiles its C library for each CPU that is named
        subprocess.run([*target, "-O3", "-s", *objects, "-o", out], check=True)
    return out


def emulate(isa: str, *words: object, given: bytes = b"", cpu: str = "max", flags: tuple[str, ...] = ()) -> bytes:
    assert QEMU is not None
    command = [QEMU, "-cpu", cpu, *flags, program(isa), *map(str, words)]
    return subprocess.run(command, input=given, check=True, capture_output=True).stdout


def product(isa: str, w: Tensor, x: Floats) -> Floats:
    words, given = question(w, x, 1)
    return np.frombuffer(emulate(isa, *words, given=given), np.float32).reshape(len(x), -1)


def instructions(isa: str, w: Tensor, x: Floats) -> int:
    """Of one call: what a program that computes twice has run more than one that computes once."""
    return counted(isa, w, x, 2) - counted(isa, w, x, 1)


def counted(isa: str, w: Tensor, x: Floats, calls: int) -> int:
    words, given = question(w, x, calls)
    log = BUILD / f"{isa}.log"
    help_text = subprocess.run([str(QEMU), "--help"], capture_output=True, text=True).stdout
    single = "-one-insn-per-tb" if "-one-insn-per-tb" in help_text else "-singlestep"
    emulate(isa, *words, given=given, flags=(single, "-d", "exec,nochain", "-D", str(log)))
    with log.open("rb") as lines:
        count = sum(line.startswith(b"Trace") for line in lines)
    log.unlink()
    return count


def question(w: Tensor, x: Floats, calls: int) -> tuple[list[object], bytes]:
    data = (Panels.pack(w).buffer if w.scale is not None else w.data).tobytes()
    n, k = w.shape
    words = [w.kind, n, k, w.group or 0, len(x), calls]
    return words, data + np.ascontiguousarray(x, np.float32).tobytes()


def example(kind: Kind, n: int, k: int, tokens: int) -> tuple[Tensor, Floats]:
    rng = np.random.default_rng(n + k)
    return Tensor.quantise(rng.standard_normal((n, k), np.float32), kind), rng.standard_normal((tokens, k), np.float32)


def main() -> None:
    portable, *others = isas()
    print(f"| weights | tokens | {portable} | " + " | ".join(others) + " |\n" + "|---" * (len(others) + 3) + "|")
    for kind in COUNTED:
        for tokens in (1, 4):
            w, x = example(kind, 16, 256, tokens)
            most, *fewer = (instructions(isa, w, x) * 1000 / (16 * 256 * tokens) for isa in isas())
            cells = " | ".join(f"{count:.0f} ({most / count:.1f})" for count in fewer)
            print(f"| {kind} | {tokens} | {most:.0f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
