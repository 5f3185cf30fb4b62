"""Quantise a model to an int8 or int4 folder of Ponder's format, with the proof of what it cost (QU-1, QU-2).

    quantise(Path("Qwen3-0.6B"), Path("qwen3-0.6b-int8"), "int8")

Every matrix of the layers and the head is packed in groups along its rows; embedding, norms, biases and router gates
keep their precision. The result is measured against the source on a fixed text; the numbers go into fidelity.json, and
a model that lost too much is not written unless forced. Format: ponder/model/formats/hf.py and docs/weights.md.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ponder.core.atomic import new_folder
from ponder.core.errors import UserError
from ponder.kernels.tensor import FOUR_BITS, GROUP
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load, make_ops, open_checkpoint
from ponder.model.quantise.calibrate import calibrated
from ponder.model.quantise.quality import TEXT, Quality, measure, read_text
from ponder.model.weights.build import build
from ponder.model.weights.checkpoint import Checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer

# Mean KL in nats above which a model is refused: several times what healthy models lose (docs/weights.md).
LIMITS = {"int8": 0.05, "int4": 0.5}


def quantise(
    source: Path, target: Path, kind: str, *, group: int = GROUP, text: Path = TEXT, force: bool = False,
    calibration: NDArray[np.int32] | None = None, ops: str = "native",
    progress: Callable[[int, int], None] | None = None, rounding: Callable[[int, int], None] | None = None,
) -> Quality:  # fmt: skip
    """source: a folder or GGUF file; target: the folder to make, which appears only when complete.
    calibration: ids [windows, length] of a text that int4 is rounded for (calibrate.py).
    progress(tokens measured, tokens in all), rounding(matrices calibrated, matrices).

    Raises UserError for a kind that is not int8 or int4, a target that exists, or a loss above LIMITS without force.
    """
    if kind not in LIMITS:
        raise UserError(f"{kind!r}: a model can be quantised to {' or '.join(LIMITS)}", param="kind")
    if target.exists():
        raise UserError(f"{target} exists already; choose another name or delete it first", param="target")
    if calibration is not None and kind != "int4":
        raise UserError("calibration is for int4: int8 loses nothing worth it", param="calibrate")
    checkpoint = open_checkpoint(source)
    ids, sha256 = read_text(Tokenizer.from_path(source), text)
    with new_folder(target) as work:
        tuned = checkpoint if calibration is None else calibrated(checkpoint, calibration, group, rounding)
        save_hf(work, tuned, kind, group=group, copy_from=source)
        reference = build(checkpoint, make_ops(ops), _reference_dtype(checkpoint))
        result = measure(reference, load(work, ops=ops), ids, sha256, progress)
        if not result.mean_kl <= LIMITS[kind] and not force:  # "not <=" also catches a NaN
            raise UserError(
                f"{kind} in groups of {group} costs this model too much: {result}. The limit is {LIMITS[kind]} nats. "
                f"Take int8 or a smaller group, or force it.", param="force",
            )  # fmt: skip
        (work / "fidelity.json").write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return result


def _reference_dtype(checkpoint: Checkpoint) -> str:
    """What the source holds; bf16 for a source that is itself quantised."""
    return "bf16" if any(s.auto in ("int8", *FOUR_BITS) for s in checkpoint.tensors.values()) else "auto"
