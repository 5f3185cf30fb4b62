"""The engine computes with the trainer's own arrays: the same log-probs before, during and after training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ponder.core.errors import UserError
from ponder.core.sample import Continuation, Sample
from ponder.core.token_model import TokenRequest
from ponder.engine.token_model import TokenEngine
from ponder.model.config import ModelConfig
from ponder.model.load import make_ops
from ponder.model.torch.modules import Decoder
from ponder.model.weights.build import build, random_checkpoint
from ponder.train.optim import OptimSettings
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.step import StepSettings, Trainer
from ponder.train.weights import normalise
from tests.train.thinker import MIXTURE, THINKER, TOKENIZER, logprobs, request
from tests.train.tiny import model

ASKED = [request("2 + 2", n=3), request("a longer question, of which a cache would know much", n=2, thinking=False)]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def difference(engine: TokenEngine, decoder: Decoder) -> tuple[float, list[Sample]]:
    """Largest, over all ids that are sampled now, and samples to train on."""
    worst, samples = 0.0, []
    for asked, said in zip(ASKED, engine.sample(ASKED), strict=True):
        for c in said:
            worst = max(worst, distance(decoder, asked, c))
            own = [0.0] * len(asked.prompt_ids) + [1.0] * len(c.ids)
            samples.append(Sample.of([*asked.prompt_ids, *c.ids], ce=own))
    return worst, normalise(samples, "token")


def distance(decoder: Decoder, asked: TokenRequest, c: Continuation) -> float:
    assert c.logprobs is not None
    known = logprobs(decoder, [*asked.prompt_ids, *c.ids], len(c.ids))
    return float(np.abs(known.numpy() - np.array(c.logprobs)).max())


@pytest.mark.parametrize(
    ("config", "kind"), [(THINKER, "adamw"), (MIXTURE, "adamw"), (MIXTURE, "muon")], ids=["dense", "moe", "moe-muon"]
)
def test_the_same_log_probs_before_during_and_after_training(config: ModelConfig, kind: str, tmp_path: Path) -> None:
    trainer = Trainer(model(config), StepSettings(optim=OptimSettings(kind=kind)), tmp_path)  # type: ignore[arg-type]
    engine = engine_of(trainer.decoder, TOKENIZER)
    before = {name: p.detach().clone() for name, p in trainer.parameters.items()}
    stale = 0.0
    for _ in range(20):
        worst, samples = difference(engine, trainer.decoder)
        assert worst <= 1e-5
        trainer.step(samples, 0.01)
        stale = max(stale, difference(engine, trainer.decoder)[0])  # the cache is warm with old keys
        engine.weights_changed()
    assert difference(engine, trainer.decoder)[0] <= 1e-5
    assert stale > 1e-3, "without weights_changed the old keys are used; else this test shows nothing"
    assert engine.weights_version == 20
    moved = {name for name, p in trainer.parameters.items() if not torch.equal(p, before[name])}
    assert moved == set(before), "every weight took part: norms, stacks of experts and router gates too"


def test_rate_zero_keeps_every_weight_and_every_answer(tmp_path: Path) -> None:
    trainer = Trainer(model(THINKER), StepSettings(), tmp_path)
    engine = engine_of(trainer.decoder, TOKENIZER)
    before = {name: p.detach().clone() for name, p in trainer.parameters.items()}
    first = engine.sample(ASKED)
    for _ in range(20):
        _, samples = difference(engine, trainer.decoder)
        trainer.step(samples, 0.0)
        engine.weights_changed()
    assert all(torch.equal(p, before[name]) for name, p in trainer.parameters.items())
    assert [[c.ids for c in said] for said in engine.sample(ASKED)] == [[c.ids for c in said] for said in first]


def test_bfloat16_weights_are_shared_too() -> None:
    decoder = Decoder(build(random_checkpoint(MIXTURE, noisy=True), make_ops("torch"), "bf16"))
    engine = engine_of(decoder, TOKENIZER)
    for scale in (1.0, 0.5):
        with torch.no_grad():
            for p in decoder.parameters():
                p.mul_(scale)
        engine.weights_changed()
        [[c]] = engine.sample([request("2 + 2")])
        assert distance(decoder, request("2 + 2"), c) < 0.1  # eight bits of mantissa, rounded in another order


def test_what_cannot_be_shared_is_refused() -> None:
    decoder = Decoder(model(THINKER))
    with torch.no_grad():
        decoder.get_parameter("model.norm.weight").data = decoder.get_parameter("model.norm.weight").data.bfloat16()
    with pytest.raises(UserError, match=r"model.norm.weight .* cannot be shared"):
        engine_of(decoder, TOKENIZER)
    with pytest.raises(UserError, match="do not belong together"):
        engine_of(Decoder(model()), TOKENIZER)
