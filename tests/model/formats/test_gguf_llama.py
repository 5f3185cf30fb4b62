"""Files that Ponder exports, run by llama.cpp: the logits must be those of our own forward pass on the same file.

Needs a Python that has llama-cpp-python: PONDER_LLAMA_PYTHON=/path/to/python pytest -m slow tests/model
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer

from ponder.core.batch import Batch
from ponder.kernels.reference.ops import ReferenceOps
from ponder.model.decoder import forward
from ponder.model.formats.gguf_read import read_gguf
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.weights.build import build

PYTHON = os.environ.get("PONDER_LLAMA_PYTHON")
SCRIPT = """
import sys, json, numpy as np, llama_cpp
path, out, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = llama_cpp.Llama(path, n_ctx=512, n_threads=2, logits_all=True, verbose=False, type_k=0, type_v=0)
model.eval(ids)
np.save(out, model.scores[: len(ids)])
print(json.dumps(model.tokenize(b"hello there<|im_end|>", add_bos=True, special=True)))
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="set PONDER_LLAMA_PYTHON to a Python with llama-cpp-python"),
]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("type_", ["F32", "F16", "BF16", "Q8_0", "IQ4_NL", "Q4_0"])
def test_llama_cpp_computes_the_same_logits(name: str, type_: str, tmp_path: Path) -> None:
    path, out = tmp_path / "m.gguf", tmp_path / "logits.npy"
    write_gguf(path, random_checkpoint(CONFIGS[name]), tiny_tokenizer(tmp_path), type_)
    ids = np.random.default_rng(5).integers(0, 256, 40).tolist()
    assert PYTHON is not None
    run = subprocess.run([PYTHON, "-c", SCRIPT, path, out, str(ids)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.strip().endswith("[262, 263, 259, 81, 68, 257]")  # hello, " t", he, r, e, <|im_end|>
    theirs = np.load(out)
    model = build(read_gguf(path), ReferenceOps(), "f32")
    factor = 4.0 if name == "yarn" else 1.0
    batch = Batch.packed([len(ids)], rope_factor=factor)
    ours = forward(model.weights, model.config, model.rope, model.ops, np.array(ids), batch)
    error = float(np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2)))
    # the same weights on both sides; llama.cpp rounds activations to F16, BF16 or, for quantised weights, int8
    assert error < {"F32": 1e-5, "F16": 1e-3, "BF16": 1e-2, "Q8_0": 3e-2, "IQ4_NL": 3e-2, "Q4_0": 3e-2}[type_], error
