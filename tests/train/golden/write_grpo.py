"""Golden values of the policy loss: TRL's own `GRPOTrainer._compute_loss` on given log-probs, with no model at all.

pip install trl==1.16.0 torch==2.13.0     # written with these
python tests/train/golden/write_grpo.py   # writes trl_grpo.json beside itself
"""

import collections
import json
import types
from pathlib import Path

import torch
import trl
from torch import Tensor
from trl import GRPOTrainer

SEQUENCES, LENGTH, LONGEST = 6, 9, 12
LENGTHS = [9, 4, 7, 1, 5, 8]


class OneProcess:
    num_processes = 1
    sync_gradients = True

    def gather(self, x: Tensor) -> Tensor:
        return x

    gather_for_metrics = gather

    def reduce(self, x: Tensor, reduction: str = "sum") -> Tensor:
        return x


class Stub(GRPOTrainer):
    """The trainer without its constructor: it is given the log-probs that a model would compute."""

    def __init__(self, logps: Tensor, **attributes: object) -> None:
        self.__dict__.update(attributes)
        self.logps = logps

    def _get_per_token_logps_and_entropies(self, *_: object, **__: object) -> tuple[Tensor, Tensor, None]:
        return self.logps, torch.zeros_like(self.logps), None


def trl_loss(inputs: dict[str, Tensor], loss_type: str, level: str, beta: float, high: float) -> tuple[float, Tensor]:
    lp = inputs["lp"].clone().requires_grad_()
    arguments = types.SimpleNamespace(
        delta=None, use_bias_correction_kl=False, steps_per_generation=1, sapo_temperature_pos=1.0,
        sapo_temperature_neg=1.05, entropy_target=None,
    )  # fmt: skip
    stub = Stub(
        lp, loss_type=loss_type, importance_sampling_level=level, beta=beta, epsilon_low=0.2, epsilon_high=high,
        args=arguments, top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False,
        vllm_importance_sampling_correction=False, aux_loss_enabled=False, model=types.SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1, accelerator=OneProcess(), max_completion_length=LONGEST,
        _entropy_bonus_enabled=False, _metrics={"train": collections.defaultdict(list)},
    )  # fmt: skip
    mask = inputs["mask"]
    batch = {
        "prompt_ids": torch.zeros(SEQUENCES, 2, dtype=torch.long),
        "prompt_mask": torch.ones(SEQUENCES, 2),
        "completion_ids": torch.zeros(SEQUENCES, LENGTH, dtype=torch.long),
        "completion_mask": mask,
        "advantages": inputs["adv"],
        "old_per_token_logps": inputs["old"],
        "ref_per_token_logps": inputs["ref"],
        "num_items_in_batch": mask.sum(),
    }
    loss = stub._compute_loss(None, batch)
    loss.backward()
    assert lp.grad is not None
    return loss.item(), lp.grad


def main() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(SEQUENCES, LENGTH)
    for i, n in enumerate(LENGTHS):
        mask[i, :n] = 1
    mask[2, 3] = 0  # an id the environment wrote
    lp = -torch.rand(SEQUENCES, LENGTH) * 2
    old = lp + 0.3 * torch.randn(SEQUENCES, LENGTH)
    ref = lp + 0.2 * torch.randn(SEQUENCES, LENGTH)
    rewards = torch.tensor([1.0, 0, 0, 1, 1, 0])
    groups = rewards.view(2, 3)
    adv = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    inputs = {"lp": lp, "old": old, "ref": ref, "mask": mask, "rewards": rewards, "adv": adv}
    cases = []
    for loss_type in ("grpo", "bnpo", "dapo", "dr_grpo", "cispo"):
        high = 2.0 if loss_type == "cispo" else 0.28
        for level in ("token",) if loss_type == "cispo" else ("token", "sequence"):
            for beta in (0.0, 0.04):
                loss, grad = trl_loss(inputs, loss_type, level, beta, high)
                case = {"loss_type": loss_type, "level": level, "beta": beta, "hi": high}
                cases.append({**case, "loss": loss, "grad": grad.tolist()})
    out = {"trl": trl.__version__, "lens": LENGTHS, **{k: v.tolist() for k, v in inputs.items()}, "cases": cases}
    Path(__file__).with_name("trl_grpo.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
