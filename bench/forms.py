"""Every quantised form of a folder, made small: what it is loaded as, and how far the logits are from exact ones.

    python bench/forms.py            # the forms that the tests write
    python bench/forms.py FOLDER     # pairs of X (a folder or .gguf file) and X.REF, a float32 folder of its values

Differences are relative, RMS: of the float32 values, and of what `--dtype auto` makes of them (activations are int8).
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "model"))

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.kernels.native import NativeOps
from ponder.model.load import load, make_ops, open_checkpoint
from ponder.model.model import Model
from ponder.model.weights.build import build, storage_plan

IDS = np.arange(20, 60, dtype=np.int32)


def own_forms(root: Path) -> Iterator[tuple[str, Path, Model]]:
    import quantised_tiny

    for form in quantised_tiny.FORMS:
        values = quantised_tiny.write(root / form, form)
        yield form, root / form, build(quantised_tiny.plain_checkpoint(values), NativeOps(), "f32")


def pairs(root: Path) -> Iterator[tuple[str, Path, Model]]:
    for reference in sorted(root.glob("*.REF")):
        path = reference.with_suffix("")
        if path.is_dir() and not (path / "config.json").exists():  # a split GGUF file
            path = min(path.glob("*.gguf"))
        yield reference.stem, path, load(reference, dtype="f32")


def logits(model: Model) -> np.ndarray:
    return np.asarray(model.forward(IDS, Batch.packed([len(IDS)])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    args = parser.parse_args()
    print("| form | layers as | float32 differs by | auto differs by |\n|---|---|---|---|")
    loaded = total = 0
    with tempfile.TemporaryDirectory() as own:
        for form, path, reference in pairs(args.folder) if args.folder else own_forms(Path(own)):
            total += 1
            want = logits(reference)

            def away(model: Model, want: np.ndarray = want) -> float:
                return float(np.sqrt(np.mean((logits(model) - want) ** 2)) / want.std())

            try:
                checkpoint = open_checkpoint(path)
                plan = storage_plan(checkpoint, "auto", prove_tie=False)
                kinds = Counter(kind for name, (_, kind) in plan.items() if "_proj.weight" in name)
                exact, auto = (away(build(checkpoint, make_ops("native"), dtype)) for dtype in ("f32", "auto"))
            except UserError as e:
                print(f"| {form} | refused: {e} | | |")
                continue
            loaded += 1
            print(f"| {form} | {', '.join(kinds)} | {exact:.1g} | {auto:.1%} |", flush=True)
    print(f"{loaded} of {total} load")


if __name__ == "__main__":
    main()
