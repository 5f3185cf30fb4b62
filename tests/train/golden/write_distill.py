"""Golden values of the divergence: TRL's own chunked one on given hidden states, with no model at all.

pip install trl==1.16.0 torch==2.13.0        # written with these
python tests/train/golden/write_distill.py   # writes trl_distill.json beside itself
"""

import json
from pathlib import Path

import torch
import trl
from trl.trainer.distillation_trainer import _chunked_divergence_loss

BATCH, LENGTH, WIDTH, TEACHER_WIDTH, WORDS = 2, 5, 8, 6, 20


def main() -> None:
    torch.manual_seed(0)
    inputs = {
        "student": torch.randn(BATCH, LENGTH, WIDTH),
        "teacher": torch.randn(BATCH, LENGTH, TEACHER_WIDTH),
        "student_head": torch.randn(WORDS, WIDTH) / 4,
        "teacher_head": torch.randn(WORDS, TEACHER_WIDTH) / 4,
        "mask": torch.ones(BATCH, LENGTH),
    }
    inputs["mask"][0, 3:] = 0
    cases = []
    for beta in (0.0, 0.3, 0.5, 1.0):
        x, head = (inputs[name].clone().requires_grad_() for name in ("student", "student_head"))
        loss, entropy, count = _chunked_divergence_loss(
            x, inputs["teacher"], head, inputs["teacher_head"], inputs["mask"], beta
        )
        loss.backward()
        assert x.grad is not None and head.grad is not None
        grads = {"grad": x.grad.tolist(), "head_grad": head.grad.tolist()}
        cases.append({"beta": beta, "loss": loss.item(), "entropy": entropy.item() / count.item(), **grads})
    out = {"trl": trl.__version__, **{k: v.tolist() for k, v in inputs.items()}, "cases": cases}
    Path(__file__).with_name("trl_distill.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
