"""A trained model in the files of others: the same logits, the same ids, the same chat template."""

import io
import os
import subprocess

import numpy as np
import pytest

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.kernels.reference.ops import ReferenceOps
from ponder.model.decoder import forward
from ponder.model.load import load, open_checkpoint, open_tokenizer
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.recipe.graph import run
from ponder.train.recipe.read import recipe_of
from tests.train.recipes import base, export, recipe, text, tokenizer

LLAMA = os.environ.get("PONDER_LLAMA_PYTHON")
SCRIPT = """
import sys, json, numpy as np, llama_cpp
path, out, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = llama_cpp.Llama(path, n_ctx=256, n_threads=1, logits_all=True, verbose=False, type_k=0, type_v=0)
model.eval(ids)
np.save(out, model.scores[: len(ids)])
print(json.dumps(model.tokenize(sys.argv[4].encode(), add_bos=True, special=True)))
"""
QUESTION = "<|im_start|>user\nHow many r in r a r?<|im_end|>\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The stage's folder, and a tokenizer's idea of a question."""
    stages = (text(), tokenizer(), base(), export(**{"from": "base"}, gguf=["F32", "Q8_0"]))
    *_, node = run(recipe_of(recipe(*stages), "test"), tmp_path_factory.mktemp("run"), log=io.StringIO())
    return node.folder, Tokenizer.from_path(node.folder / "model").encode(QUESTION, allow_control=True)


def logits(path, ids):
    model = load(path, dtype="f32", ops="numpy")
    assert isinstance(model.ops, ReferenceOps)
    return forward(model.weights, model.config, model.rope, model.ops, np.array(ids), Batch.packed([len(ids)]))


def test_transformers_computes_the_same_logits(exported):
    transformers = pytest.importorskip("transformers")
    import torch

    folder, ids = exported
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    with torch.no_grad():
        found = theirs(torch.tensor([ids])).logits[0].numpy()
    assert np.abs(found - logits(folder / "model", ids)).max() < 1e-4
    assert transformers.AutoTokenizer.from_pretrained(folder / "model").encode(QUESTION) == ids


def test_a_gguf_file_holds_the_same_weights_tokenizer_and_template(exported):
    folder, ids = exported
    path = folder / "model-F32.gguf"
    assert np.array_equal(logits(path, ids), logits(folder / "model", ids))
    assert np.abs(logits(folder / "model-Q8_0.gguf", ids) - logits(path, ids)).max() < 0.1
    ours = open_tokenizer(open_checkpoint(path), path)
    assert ours.encode(QUESTION, allow_control=True) == ids
    with LLM(path, kv_dtype="f32") as a, LLM(folder / "model", kv_dtype="f32") as b:
        said = [m.chat("How many r in r a r?", max_tokens=12, temperature=0).choices[0].ids for m in (a, b)]
    assert said[0] == said[1]


def test_the_gguf_package_reads_it(exported):
    gguf = pytest.importorskip("gguf")
    folder, _ = exported
    reader = gguf.GGUFReader(folder / "model-F32.gguf")
    assert reader.get_field("general.architecture").contents() == "qwen3"
    assert "enable_thinking" in reader.get_field("tokenizer.chat_template").contents()


@pytest.mark.slow
@pytest.mark.skipif(LLAMA is None, reason="set PONDER_LLAMA_PYTHON to a Python with llama-cpp-python")
def test_llama_cpp_computes_the_same_logits(exported, tmp_path):
    folder, ids = exported
    path, out = folder / "model-F32.gguf", tmp_path / "logits.npy"
    assert LLAMA is not None
    done = subprocess.run([LLAMA, "-c", SCRIPT, path, out, str(ids), QUESTION], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith(str(ids))
    assert np.abs(np.load(out) - logits(path, ids)).max() < 1e-3


def test_a_type_that_there_is_not_is_refused():
    with pytest.raises(UserError, match="no GGUF type 'Q9'"):
        recipe_of(recipe(text(), tokenizer(), base(), export(**{"from": "base"}, gguf=["Q9"])), "test")
