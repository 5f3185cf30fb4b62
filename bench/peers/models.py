"""The random models in each engine's format, from one set of weights: made once and kept.

    python bench/peers/models.py [--root runs/peers] [--only dense moe]

dense is the shape of Qwen3-0.6B, moe that of the issue's mixture of experts. Ponder writes the Hugging Face folder and
the BF16 GGUF; every peer's own tool makes its quantised form from these (make_*.py, run in its environment).
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from install import ROOT, python_of

from ponder.cli.benchmark.random_model import save_random
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.load import open_checkpoint

HERE = Path(__file__).parent
SHAPES = {
    "dense": "qwen3:0.6b",
    "moe": "qwen3:0.6b:layers=24,experts=64,top_k=4,expert_width=384",
}
GGUF = ("Q4_0", "Q8_0")


def models(root: Path) -> Path:
    return root / "models"


def make(root: Path, name: str) -> None:
    """Every form of one model. A form is written under another name first, so what exists is whole."""
    place = models(root)
    place.mkdir(parents=True, exist_ok=True)
    source = place / f"{name}-hf"
    form(source, lambda target: save_random(SHAPES[name], target))
    if not all((place / f"{name}-{kind}.gguf").exists() for kind in GGUF):
        bf16 = place / f"{name}-BF16.gguf"
        form(bf16, lambda target: write_gguf(target, open_checkpoint(source), source, "BF16"))
        for kind in GGUF:
            form(place / f"{name}-{kind}.gguf", lambda target, kind=kind: tool(root, "llama", bf16, target, kind))
    if name == "dense":
        form(place / f"{name}-w8a8", lambda target: tool(root, "w8a8", source, target))
        for kind in ("int4", "int8"):
            form(place / f"{name}-ov-{kind}", lambda target, kind=kind: tool(root, "openvino", source, target, kind))
    else:
        (place / f"{name}-BF16.gguf").unlink(missing_ok=True)  # 4 GB that nothing reads


def form(target: Path, write: Callable[[Path], object]) -> None:
    if target.exists():
        return
    print(f"making {target.name} ...", file=sys.stderr, flush=True)
    part = target.with_name(f"part-{target.name}")
    if part.is_dir():
        shutil.rmtree(part)
    part.unlink(missing_ok=True)
    write(part)
    part.rename(target)


def tool(root: Path, name: str, source: Path, target: Path, *kind: str) -> None:
    engine = "vllm" if name == "w8a8" else name
    command = [str(python_of(root, engine)), str(HERE / f"make_{name}.py"), str(source), str(target), *kind]
    subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--only", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    args = parser.parse_args()
    for name in args.only:
        make(args.root, name)


if __name__ == "__main__":
    main()
