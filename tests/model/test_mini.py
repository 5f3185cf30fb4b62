"""The files of the model that comes with Ponder: whole, small enough, and the same in the libraries of others."""

import hashlib
import json
import os
import shutil
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
NODE_LLAMA = os.environ.get("PONDER_NODE_LLAMA")
GREEDY = Path(__file__).parents[2] / "bench" / "greedy_llama.mjs"
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
    text = files["README.md"].decode()
    assert "`think 32` is a thinking budget of 32 tokens" in text and "| think 32 |" in text
    assert card.about in text and "cannot" in card.about and card.examples
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


@pytest.mark.slow
@pytest.mark.skipif(NODE_LLAMA is None, reason="set PONDER_NODE_LLAMA to a folder with `npm install node-llama-cpp`")
@pytest.mark.parametrize(("kind", "most"), [("F32", 1e-3), ("F16", 1e-3), ("Q8_0", 0.5)])
def test_llama_cpp_says_the_same(kind: str, most: float, tmp_path: Path) -> None:
    """most: nats between log-probs of ids that are no rarer than one in a thousand. llama.cpp rounds what it multiplies
    with Q8_0 weights to int8."""
    assert NODE_LLAMA is not None
    path, tokenizer = tmp_path / "mini.gguf", Tokenizer.from_path(FOLDER)
    write_gguf(path, open_checkpoint(FOLDER), FOLDER, kind)
    asked = [render([Message.user(q)], tokenizer) for q in ("How many r in s t r a w?", "What is 23 + 58?")]
    prompts = [{"text": one.text, "ids": list(one.ids), "most": 48} for one in asked]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    (tmp_path / "node_modules").symlink_to(Path(NODE_LLAMA) / "node_modules")
    script = shutil.copy(GREEDY, tmp_path)
    done = subprocess.run(
        ["node", script, path, "prompts.json", "out.json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for prompt, said in zip(prompts, json.loads((tmp_path / "out.json").read_text()), strict=True):
        assert said["tokens"] == prompt["ids"] and len(said["ids"]) > 10
        ours = logits(path, [*prompt["ids"], *said["ids"][:-1]])[len(prompt["ids"]) - 1 :].astype(np.float64)
        assert ours.argmax(1).tolist() == said["ids"]
        logprobs = ours - np.log(np.exp(ours).sum(1, keepdims=True))
        for row, theirs in zip(logprobs, said["probabilities"], strict=True):
            assert all(abs(np.log(p) - row[int(id_)]) < most for id_, p in theirs.items() if p > 1e-3)
