"""The files of the model that comes with Ponder: whole, small enough, and the same in the libraries of others."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ponder.core.batch import Batch
from ponder.core.message import Message
from ponder.kernels.tensor import Floats
from ponder.model.card import CARD, read_card
from ponder.model.decoder import forward
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.hub.shipped import SHIPPED, shipped
from ponder.model.info import describe
from ponder.model.load import load, open_checkpoint
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer

FOLDER = SHIPPED["ponder-mini"]
MOST = 30_000_000  # bytes
pytestmark = pytest.mark.skipif(shipped("ponder-mini") is None, reason="a source tree without the model")
LLAMA = os.environ.get("PONDER_LLAMA_PYTHON")
SCRIPT = """
import sys, json, numpy as np, llama_cpp
path, out, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = llama_cpp.Llama(path, n_ctx=256, n_threads=1, logits_all=True, verbose=False, type_k=0, type_v=0)
model.eval(ids)
np.save(out, model.scores[: len(ids)])
"""


@pytest.fixture(scope="module")
def ids() -> list[int]:
    return render([Message.user("How many r in s t r a w?")], Tokenizer.from_path(FOLDER)).ids


def logits(path: Path, ids: list[int]) -> Floats:
    model = load(path, dtype="f32", ops="numpy")
    return forward(model.weights, model.config, model.rope, model.ops, np.array(ids), Batch.packed([len(ids)]))


def test_the_files_are_those_of_the_card() -> None:
    card = read_card(FOLDER)
    assert card is not None and shipped("ponder-mini") == FOLDER
    files = {file.name: file.read_bytes() for file in FOLDER.iterdir() if file.name != CARD}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == card.files
    assert card.recipe == card.files["stages.json"]
    assert json.loads(files["stages.json"])[-1]["folder"] == card.stage
    assert card.about in files["README.md"].decode() and "cannot" in card.about and card.examples
    assert sum(map(len, files.values())) < MOST


def test_it_is_a_hybrid_qwen3() -> None:
    info = describe(FOLDER)
    assert (info.architecture, info.capability, info.template_trust) == ("Qwen3ForCausalLM", "hybrid", "known")
    assert not info.warnings


def test_transformers_computes_the_same(ids: list[int]) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    theirs = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    with torch.no_grad():
        found = theirs(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(found - logits(FOLDER, ids)).max() < 1e-3
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    asked = [{"role": "user", "content": "How many r in s t r a w?"}]
    assert tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False) == ids


def test_a_gguf_file_of_it_computes_the_same(ids: list[int], tmp_path: Path) -> None:
    write_gguf(tmp_path / "mini.gguf", open_checkpoint(FOLDER), FOLDER, "BF16")
    assert np.array_equal(logits(tmp_path / "mini.gguf", ids), logits(FOLDER, ids))


@pytest.mark.slow
@pytest.mark.skipif(LLAMA is None, reason="set PONDER_LLAMA_PYTHON to a Python with llama-cpp-python")
def test_llama_cpp_computes_the_same(ids: list[int], tmp_path: Path) -> None:
    path, out = tmp_path / "mini.gguf", tmp_path / "logits.npy"
    write_gguf(path, open_checkpoint(FOLDER), FOLDER, "F32")
    assert LLAMA is not None
    done = subprocess.run([LLAMA, "-c", SCRIPT, path, out, str(ids)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.abs(np.load(out) - logits(path, ids)).max() < 1e-2
