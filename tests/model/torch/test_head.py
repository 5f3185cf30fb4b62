"""Log-probabilities and entropies without the logits of a whole batch: equal to the plain ones, in little memory."""

import subprocess
import sys

import pytest
import torch

from ponder.model.torch import head as module
from ponder.model.torch.head import token_losses


@pytest.mark.parametrize("chunk", [1 << 24, 300])
@pytest.mark.parametrize("wanted", ["logprob", "entropy", "both"])
@pytest.mark.parametrize("ours", [True, False])
def test_equal_to_the_plain_head(chunk: int, wanted: str, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module.fused, "fits", lambda x: ours)
    torch.manual_seed(0)
    x, head = torch.randn(37, 16, requires_grad=True), (0.3 * torch.randn(101, 16)).requires_grad_()
    targets, w = torch.randint(101, (37,)), torch.randn(2, 37)
    logp = (x @ head.T).log_softmax(-1)
    plain = logp[torch.arange(37), targets], -(logp.exp() * logp).sum(-1)
    got = token_losses(x, head, targets)
    grads = []
    for a, b in (got, plain):
        loss = {"logprob": (w[0] * a).sum(), "entropy": (w[1] * b).sum(), "both": (w[0] * a + w[1] * b).sum()}[wanted]
        grads.append(torch.autograd.grad(loss / 37, (x, head)))
    torch.testing.assert_close(got, plain, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-6, atol=1e-6)


def test_bfloat16_rows_are_filled_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    x, head = torch.randn(37, 16).bfloat16().requires_grad_(), (0.3 * torch.randn(101, 16)).bfloat16().requires_grad_()
    targets = torch.randint(101, (37,))
    logprob, entropy = token_losses(x, head, targets)
    assert len(logprob) == len(entropy) == 37
    logp = (x.float() @ head.float().T).log_softmax(-1)
    torch.testing.assert_close(logprob, logp[torch.arange(37), targets], rtol=0.02, atol=0.02)
    ours, plain = (torch.autograd.grad(a.sum(), (x, head)) for a in (logprob, logp[torch.arange(37), targets]))
    torch.testing.assert_close(ours, plain, rtol=0.03, atol=0.06)


MEMORY = """
import resource, torch
from ponder.model.torch.head import token_losses
torch.set_num_threads(1)
x = torch.randn(8 * 1024, 64, requires_grad=True)
head = torch.randn(151936, 64, requires_grad=True)
logprob, entropy = token_losses(x, head, torch.randint(151936, (8 * 1024,)))
(logprob.mean() + entropy.mean()).backward()
assert x.grad is not None and head.grad is not None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_of_eight_thousand_ids_and_the_real_vocabulary() -> None:
    """The logits alone would be 5 GB."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=280, check=True)
    assert int(done.stdout) < 2_000_000  # kB
