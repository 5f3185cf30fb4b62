"""A compressed-tensors folder for vLLM, int8 weights by row and int8 activations by token: make_w8a8.py HF_DIR TARGET

Embedding and head keep bf16, as vLLM's quantisation leaves them.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
ACTIVATIONS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir()
    tensors = {}
    for file in source.iterdir():
        if file.suffix == ".safetensors":
            tensors |= load_file(file)
        elif not file.name.endswith(".index.json"):
            shutil.copy(file, target)
    packed = {}
    for name, weight in tensors.items():
        if weight.ndim != 2 or "embed" in name or "lm_head" in name:
            packed[name] = weight
            continue
        scale = weight.float().abs().amax(1, keepdim=True) / 127
        packed[name] = (weight.float() / scale).round().to(torch.int8)
        packed[name + "_scale"] = scale.bfloat16()
    save_file(packed, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    group = {"targets": ["Linear"], "weights": WEIGHTS, "input_activations": ACTIVATIONS, "output_activations": None}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": "int-quantized", "quantization_status": "compressed",
        "ignore": ["lm_head"], "config_groups": {"group_0": group},
    }  # fmt: skip
    (target / "config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    main()
