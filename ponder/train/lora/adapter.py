"""The adapter as PEFT writes it, which `--adapter` and PEFT load: adapter_config.json and adapter_model.safetensors.

write_adapter(ctx.folder / "adapter", trainer.decoder, stage.lora, base="Qwen/Qwen3-0.6B")
"""

import json
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ponder.core.errors import UserError
from ponder.model.formats.safetensors_file import StoredTensor, write_file
from ponder.model.torch.experts import separate
from ponder.model.torch.low_rank import ROUTER, LowRank, low_rank
from ponder.model.torch.modules import Decoder
from ponder.train.lora.settings import Lora

ADAPTER = "adapter"  # the folder beside a stage's model


def write_adapter(folder: Path, decoder: Decoder, lora: Lora, base: str) -> None:
    """folder: new. base: the model that it belongs to, for PEFT. Raises UserError for an adapter without effect."""
    pairs = {name: w for name, w in low_rank(dict(decoder.named_parameters()), 0.0).items() if isinstance(w, LowRank)}
    still = [name for name, w in pairs.items() if not w.b.any()]
    if still:
        raise UserError(
            f"an adapter without effect: nothing was learned of {still[0]} ({len(still)} of {len(pairs)} matrices). "
            "Raise the rate or the number of steps, or leave these out of targets",
            param="lora", code="no_effect",
        )  # fmt: skip
    folder.mkdir(parents=True)
    tensors = {
        f"base_model.model.{name}": StoredTensor("F32", value.detach().float().contiguous().numpy())
        for weight, pair in pairs.items() for name, value in _files(weight, pair)
    }  # fmt: skip
    write_file(folder / "adapter_model.safetensors", tensors)
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": lora.rank,
        "lora_alpha": lora.scaled, "target_modules": [*lora.targets, *([ROUTER] if lora.router else [])],
        "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
        "init_lora_weights": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _files(weight: str, pair: LowRank) -> Iterator[tuple[str, Tensor]]:
    """Names as PEFT has them; of a stack, those of every expert's matrices."""
    if pair.weight.dim() == 2:
        module = weight.removesuffix(".weight")
        yield f"{module}.lora_A.weight", pair.a
        yield f"{module}.lora_B.weight", pair.b
        return
    shared = pair.a.repeat(1, 2, 1) if weight.endswith("gate_up_proj") else pair.a  # gate's and up's are one
    for part, stack in (("A", shared), ("B", pair.b)):
        for name, matrix in separate({weight: stack}).items():
            yield name.replace(".weight", f".lora_{part}.weight"), matrix
