"""What a wheel needs and what an installation takes, as Markdown tables.

python packaging/audit.py dist/*.whl     # tag, glibc, stable ABI; with auditwheel and abi3audit beside this Python
python packaging/audit.py                # MiB of each package of this Python's environment, and what needs it
"""

import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

NEEDED = ("ponder/py.typed", "ponder/server/web/static/index.html", "ponder/data/identify/languages.npz")
LEAST = 1.0  # MiB; smaller packages are one row
INSTALLER = {"pip", "setuptools", "wheel"}


def main(wheels: list[str]) -> None:
    if not wheels:
        return print(sizes())
    print("| wheel | MiB | oldest Linux (auditwheel) | stable ABI (abi3audit) |\n|---|---|---|---|")
    for name in wheels:
        print(row(Path(name)), flush=True)


def row(wheel: Path) -> str:
    """Ends with an error where a file is missing or the extension uses more of Python than its name says."""
    names = zipfile.ZipFile(wheel).namelist()
    missing = [name for name in NEEDED if name not in names]
    sources = [name for name in names if name.endswith((".cpp", ".h"))]
    if missing or sources:
        sys.exit(f"{wheel.name} lacks {missing} and should not have {sources}")
    _, _, python, abi, systems = wheel.stem.split("-")
    cpu = "aarch64" if "aarch64" in systems else "x86_64"
    shown = program("auditwheel", "show", str(wheel))
    (tag,) = re.findall(r'platform\s+tag:\s+"(\w+)"', shown)
    return f"| {python}-{abi}, {cpu} | {wheel.stat().st_size / 2**20:.1f} | {tag} | {stable(wheel, abi)} |"


def stable(wheel: Path, abi: str) -> str:
    if abi != "abi3":
        return "its Python alone"
    (spec,) = json.loads(program("abi3audit", "--strict", "--report", str(wheel)))["specs"].values()
    (result,) = (extension["result"] for extension in spec["wheel"])
    return f"all symbols in that of {result['computed']}, of {result['baseline']} promised"


def program(name: str, *words: str) -> str:
    return subprocess.check_output([Path(sys.executable).with_name(name), *words], text=True, stderr=subprocess.DEVNULL)


def sizes() -> str:
    found = {normal(d.name): d for d in distributions() if normal(d.name) not in INSTALLER}
    taken = {name: space(d) for name, d in found.items()}
    wanted: dict[str, list[str]] = {name: [] for name in found}
    for name, distribution in found.items():
        for line in distribution.requires or []:
            other = normal(re.split(r"[^\w.-]", line, maxsplit=1)[0])
            if other in wanted and "extra ==" not in line:
                wanted[other].append(name)
    rows = [(name, mib) for name, mib in sorted(taken.items(), key=lambda item: -item[1]) if mib >= LEAST]
    text = "| package | MiB | needed by |\n|---|---|---|\n"
    text += "".join(f"| {name} | {mib:.1f} | {', '.join(sorted(wanted[name]))} |\n" for name, mib in rows)
    small = [mib for mib in taken.values() if mib < LEAST]
    return text + f"| {len(small)} smaller ones | {sum(small):.1f} | |\n| all | {sum(taken.values()):.1f} | |"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def space(distribution: Distribution) -> float:
    """MiB on the disk, in whole blocks, with what Python compiled."""
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or []]
    return sum(path.stat().st_blocks for path in paths if path.exists()) * 512 / 2**20


if __name__ == "__main__":
    main(sys.argv[1:])
