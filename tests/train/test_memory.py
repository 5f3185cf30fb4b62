"""What a step takes is known before it, and a batch that is too large is refused with the largest that fits."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.kernels import native
from ponder.model.load import make_ops
from ponder.model.weights.build import build, random_checkpoint
from ponder.train import memory
from ponder.train.memory import PROGRAMS, check_memory, check_state, need_of
from ponder.train.recipe.graph import run
from ponder.train.recipe.read import recipe_of
from ponder.train.step import StepSettings, Trainer
from recipes import base, recipe, text, tokenizer
from tests.train.tiny import DENSE, model, samples

MEASURE = """
import re, sys, tempfile
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from ponder.core.sample import Sample
from ponder.model.config import ModelConfig
from ponder.model.load import make_ops
from ponder.model.weights.build import build, random_checkpoint
from ponder.train.memory import need_of
from ponder.train.step import StepSettings, Trainer
def kb(name): return 1024 * int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
config = ModelConfig(model_type="qwen3", vocab_size=8192, hidden_size=256, intermediate_size=768, num_hidden_layers=6,
                     num_attention_heads=8, num_key_value_heads=4, head_dim=32, max_position_embeddings=512,
                     tie_word_embeddings=True)
model = build(random_checkpoint(config, 0), make_ops("torch"), "f32")
trainer = Trainer(model, StepSettings(), Path(tempfile.gettempdir()))
draw = np.random.default_rng(0)
samples = lambda n, length: [Sample.of(draw.integers(0, 8192, length), ce=1.0) for _ in range(n)]
trainer.step(samples(1, 8), 0.0)
before, batch = kb("VmRSS"), samples(24, 256)
need = need_of(trainer, batch)
Path("/proc/self/clear_refs").write_text("5")
trainer.step(batch, 0.0)
print(need.of(24 * 256) - need.state, kb("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from /proc")
def test_the_estimate_is_what_a_step_takes():
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    said, took = map(int, done.stdout.split())
    assert 0.85 < said / took < 1.15, (said, took)


PRODUCTS = """
import re
from pathlib import Path
import torch
torch.set_num_threads(1)
def kb(): return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
weight = torch.ones(192, 64, dtype=torch.bfloat16)
def multiply(rows): return torch.nn.functional.linear(torch.ones(rows, 64, dtype=torch.bfloat16), weight)
multiply(255)
before = kb()
for rows in range(256, 320): multiply(rows)
print((kb() - before) * 1024 // 64 * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(native.isa() not in ("avx512bf16", "amx"), reason="other CPUs have no bfloat16 products to compile")
def test_the_programs_of_bfloat16_products_are_as_large_as_said():
    done = subprocess.run([sys.executable, "-c", PRODUCTS], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert 0.7 < int(done.stdout) / PROGRAMS < 1.5, done.stdout


def test_the_programs_of_bfloat16_products_are_counted(tmp_path):
    half = Trainer(build(random_checkpoint(DENSE, 0), make_ops("torch"), "bf16"), StepSettings(), tmp_path)
    need = need_of(half, samples([20] * 30))
    assert need.programs == PROGRAMS and need.of(60) - need._replace(programs=0).of(60) == PROGRAMS
    assert need.most_ids(need.of(60)) in (59, 60)
    assert need_of(trainer(tmp_path), samples([20] * 30)).programs == 0


def trainer(tmp_path: Path, max_tokens: int = 100) -> Trainer:
    return Trainer(model(), StepSettings(max_tokens=max_tokens), tmp_path)


def test_a_batch_that_is_too_large_is_refused_with_the_largest_that_fits(tmp_path, monkeypatch):
    lengths = [20] * 30
    mine, step = trainer(tmp_path), samples(lengths)
    need = need_of(mine, step)
    state = need.state - sum(p.nbytes for p in mine.parameters.values())  # gradients are not there yet
    held = sum(t.nbytes for t in mine.optimiser.state().values())
    monkeypatch.setattr(memory, "free_memory", lambda: need.of(60) - need.state + state - held)
    with pytest.raises(UserError, match=r"micro-batch of 100 ids needs .* set max_tokens to (59|60) or less"):
        check_memory(mine, step)
    check_memory(trainer(tmp_path, 60), step)
    monkeypatch.setattr(memory, "free_memory", lambda: need.of(10) - need.state + state - held)
    with pytest.raises(UserError, match="longest sample of 20 ids alone"):
        check_memory(mine, step)
    monkeypatch.setattr(memory, "free_memory", lambda: None)  # a system that does not say
    check_memory(mine, step)


def test_a_model_that_is_too_large_is_refused_before_it_is_made(monkeypatch):
    config = DENSE
    monkeypatch.setattr(memory, "free_memory", lambda: 16 * config.parameter_counts().total - 1)
    with pytest.raises(UserError, match="parameters needs"):
        check_state(config)


def test_a_stage_says_it_before_its_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1_000_000)
    with pytest.raises(UserError, match="free"):
        run(recipe_of(recipe(text(), tokenizer(), base()), "test"), tmp_path, log=io.StringIO())
    assert (
        not list(tmp_path.glob("base-*/metrics.jsonl")) or not next(tmp_path.glob("base-*/metrics.jsonl")).read_text()
    )
