"""Factors beside frozen weights: they alone learn, the sum is the same everywhere, and others load what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.model.config import ModelConfig
from ponder.model.formats.adapter import with_adapter
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import open_checkpoint
from ponder.model.torch.modules import Decoder
from ponder.model.weights.checkpoint import read
from ponder.train.lora.adapter import write_adapter
from ponder.train.lora.settings import Lora
from ponder.train.memory import need_of
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.step import StepSettings, Trainer
from tests.train.rollouts.test_hand_over import difference
from tests.train.thinker import MIXTURE, THINKER, TOKENIZER
from tests.train.tiny import model, samples

LORA = Lora(rank=2, router=True)
BOTH = pytest.mark.parametrize("config", [THINKER, MIXTURE], ids=["dense", "moe"])


def learned(config: ModelConfig, folder: Path, lora: Lora = LORA, steps: int = 3) -> Trainer:
    trainer = Trainer(model(config), StepSettings(lora=lora, spike=0), folder)
    for step in range(steps):
        trainer.step(samples([40, 30, 20, 40], seed=step), 0.05)
    return trainer


@BOTH
def test_the_engine_computes_with_the_sum(config: ModelConfig, tmp_path: Path) -> None:
    trainer = learned(config, tmp_path, steps=0)
    base = {n: p.detach().clone() for n, p in trainer.decoder.named_parameters() if n not in trainer.parameters}
    engine = engine_of(trainer.decoder, TOKENIZER)
    first = model(config)
    assert all(torch.equal(w, torch.as_tensor(first.weights[n])) for n, w in base.items()), "B begins at 0"
    for _ in range(6):
        worst, batch = difference(engine, trainer.decoder)
        assert worst <= 1e-5
        trainer.step(batch, 0.05)
        engine.weights_changed()
    assert difference(engine, trainer.decoder)[0] <= 1e-5
    weights = dict(trainer.decoder.named_parameters())
    assert all(torch.equal(weights[name], w) for name, w in base.items()), "no weight itself has learned"
    assert len(trainer.parameters) == 2 * config.num_hidden_layers * 7  # the router, and experts in two stacks
    assert all("lora" in name and bool(p.abs().max() > 0) for name, p in trainer.parameters.items())


@BOTH
def test_the_adapter_is_what_was_learned(config: ModelConfig, tmp_path: Path) -> None:
    trainer = learned(config, tmp_path)
    save_hf(tmp_path / "base", Decoder(model(config)).checkpoint(), "f32")
    write_adapter(tmp_path / "adapter", trainer.decoder, LORA, "base")
    merged = with_adapter(open_checkpoint(tmp_path / "base"), tmp_path / "adapter")
    own = trainer.decoder.files()
    assert own.keys() == merged.tensors.keys()
    for name, source in merged.tensors.items():
        np.testing.assert_allclose(read(source, "f32"), own[name].numpy(), rtol=0, atol=1e-6, err_msg=name)


@BOTH
def test_folded_into_the_weights_it_says_the_same_without_a_second_array(config: ModelConfig, tmp_path: Path) -> None:
    decoder = learned(config, tmp_path).decoder
    sums = {name: tensor.clone() for name, tensor in decoder.files().items()}
    decoder.merged.clear()
    decoder.fold()
    folded = decoder.files()
    assert folded.keys() == sums.keys() and all(torch.equal(folded[name], sums[name]) for name in sums)
    assert not decoder.merged and not [name for name, _ in decoder.named_parameters() if "lora" in name]


def test_peft_loads_it_and_computes_the_same(tmp_path: Path) -> None:
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    trainer = learned(THINKER, tmp_path)
    save_hf(tmp_path / "base", Decoder(model(THINKER)).checkpoint(), "f32")
    write_adapter(tmp_path / "adapter", trainer.decoder, Lora(rank=2), "base")
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    ids = np.arange(40, 70, dtype=np.int32)
    with torch.no_grad():
        logits = theirs(torch.from_numpy(ids)[None].long()).logits[0]
        logp, _, _ = trainer.decoder(ids[:-1], Batch.packed([29]), ids[1:])
    wanted = logits.log_softmax(-1)[:-1].gather(1, torch.from_numpy(ids[1:]).long()[:, None])[:, 0]
    torch.testing.assert_close(logp, wanted, rtol=0, atol=1e-5)


def test_the_configuration_says_what_was_trained(tmp_path: Path) -> None:
    lora = Lora(rank=2, alpha=6, targets=("q_proj", "down_proj"))
    write_adapter(tmp_path / "adapter", learned(THINKER, tmp_path, lora).decoder, lora, "base")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (2, 6, ["q_proj", "down_proj"])


def test_an_adapter_without_effect_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without effect: nothing was learned of model\.layers\.0\.self_attn\.q_proj"):
        write_adapter(tmp_path / "adapter", learned(THINKER, tmp_path, steps=0).decoder, LORA, "base")
    assert not (tmp_path / "adapter").exists()


def test_memory_is_that_of_the_factors(tmp_path: Path) -> None:
    batch = samples([40])
    thin, whole = (need_of(Trainer(model(THINKER), StepSettings(lora=x), tmp_path), batch) for x in (LORA, None))
    weights = sum(p.nbytes for p in Decoder(model(THINKER)).parameters())
    assert weights < thin.state < whole.state and thin.state < 2 * weights < whole.state


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rank": 0}, "rank is 1 or more"),
        ({"targets": ("q_prj",)}, "no matrix is called 'q_prj'"),
        ({"targets": ("gate_proj",)}, "go together"),
        ({"targets": ()}, "names no matrix"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Lora(**fields)  # type: ignore[arg-type]


def test_factors_wider_than_the_model_are_refused(tmp_path: Path) -> None:
    wide = model(THINKER)
    with pytest.raises(UserError, match=f"rank = 9999 is more than the model is wide .{wide.config.hidden_size}."):
        Trainer(wide, StepSettings(lora=Lora(rank=9999)), tmp_path)


def test_a_router_that_is_not_there_is_an_adapter_without_effect(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no matrix called gate: an adapter without effect"):
        Trainer(model(THINKER), StepSettings(lora=Lora(targets=(), router=True)), tmp_path)
