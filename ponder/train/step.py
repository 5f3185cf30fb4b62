"""One optimiser step: samples in, an update or a skipped step out, and a report of it.

The samples are split into micro-batches whose losses are summed; the weights in their streams were normalised over
the whole step, so that splitting changes nothing but memory. A step whose gradient is not finite, or many times
longer than those before it, is left out and its samples are kept; three in a row stop the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.model.decoder import HEAD
from ponder.model.model import Model
from ponder.model.torch.context import Context
from ponder.model.torch.modules import Decoder
from ponder.model.weights.checkpoint import Checkpoint
from ponder.train import parallel
from ponder.train.batch import Packed, check, micro_batches, pack
from ponder.train.broken import first_broken
from ponder.train.head import TopK, Whole, divergence
from ponder.train.lora.settings import Lora
from ponder.train.loss import LossSettings, Streams, Sums, total
from ponder.train.optim import Optimiser, OptimSettings
from ponder.train.scale.balance import Balance, BalanceSettings
from ponder.train.scale.divide import Divided, divide, whole
from ponder.train.scale.layout import Layout

STREAMS = ("ce", "rl", "kl", "advantage", "behaviour", "reference", "teacher_ids", "teacher_logprobs")
IN_A_ROW = 3
MOST = 0.5  # weight of the bonus for entropy


class Diverged(UserError):
    """Training broke down; the text names the first tensor that did and where the samples are kept."""


@dataclass(frozen=True, kw_only=True)
class StepSettings:
    loss: LossSettings = field(default_factory=LossSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    balance: BalanceSettings = field(default_factory=BalanceSettings)
    """Of a mixture of experts; dense models have none."""
    max_tokens: int = 8192
    """Ids of one micro-batch: memory, nothing else."""
    recompute: bool = False
    """Keep each layer's input only and compute the layer again in the backward pass: less memory, a third more work."""
    lora: Lora | None = None
    """Train factors beside the weights, and not these."""
    seed: int = 0
    """Of what is drawn at the beginning: those factors."""
    spike: float = 10.0
    """A gradient this many times longer than the median of the last `window` is a spike; 0 takes all."""
    window: int = 64


@dataclass(frozen=True, kw_only=True)
class StepReport:
    step: int
    """Counted from 0, skipped ones included."""
    loss: float
    norm: float
    """Of the gradient before clipping."""
    rate: float
    tokens: int
    """Ids that were computed."""
    skipped: Literal["", "not finite", "spike"]
    metrics: dict[str, float]
    """Means over what each is defined for: nll, entropy, clip_share, mismatch_kl, reference_kl, divergence; of
    mixtures of experts the balance loss, and the load of each layer (`load_0`, ...) with their mean (`load`)."""


@dataclass
class Progress:
    """What a step leaves behind besides weights and moments; part of a checkpoint."""

    step: int = 0
    skipped: int = 0
    in_a_row: int = 0
    norms: list[float] = field(default_factory=list)
    entropy_weight: float = 0.0
    """Of the bonus that holds the entropy at its target."""


class Trainer:
    def __init__(
        self, model: Model, settings: StepSettings, folder: Path, *, teacher: Model | None = None,
        together: bool = False, layout: Layout | None = None,
    ) -> None:  # fmt: skip
        """model, teacher: over the torch ops. folder: where the samples of skipped steps are kept. together: with the
        other processes, each of which makes such a trainer; layout: how they share the model."""
        self.model, self.settings, self.folder, self.teacher = model, settings, folder, teacher
        self.processes = parallel.processes() if together else 1
        self.decoder = Decoder(model, recompute=settings.recompute)
        self.divided: Divided | None = None
        if settings.lora is not None:
            settings.lora.apply(self.decoder, settings.seed)
        if self.processes > 1:
            if settings.lora is not None:
                raise UserError("lora trains in one process: run it without torchrun", param="lora")
            if settings.optim.kind == "muon":
                raise UserError("muon needs whole matrices, and several processes hold parts: take adamw", param="kind")
            self.divided = divide(self.decoder, layout or Layout())
            if self.divided.context is not None and (teacher is not None or settings.loss.ratio == "sequence"):
                raise UserError('a teacher, and ratio = "sequence", need whole sequences: context = 1', param="context")
        every = self.decoder.named_parameters()
        self.parameters: dict[str, Tensor] = {name: p for name, p in every if p.requires_grad}
        self.optimiser = Optimiser(self.parameters, settings.optim)
        self.fills = self.decoder.head.dtype == torch.bfloat16 and not model.config.num_experts
        """Experts would be balanced for rows that nobody wants."""
        self.progress = Progress()

    def step(self, samples: Sequence[Sample], rate: float) -> StepReport:
        check(samples, self.model.config.vocab_size, self.model.max_context)
        self.optimiser.zero()
        balance = self._balance(samples)
        loss, tokens, sums = self._backward(samples, balance)
        norm = self.optimiser.norm()
        skipped = self._verdict(loss, norm)
        if skipped:
            self._skip(samples, skipped)
        else:
            self.optimiser.step(rate, norm)
            self.progress.in_a_row = 0
            self.progress.norms = [*self.progress.norms, norm][-self.settings.window :]
        metrics = {name: float(value) / max(int(count), 1) for name, (value, count) in sums.items()}
        metrics |= {} if balance is None else loads_of(balance)
        if self.settings.loss.entropy_target is not None:
            metrics["entropy_weight"] = self.progress.entropy_weight
            self._hold_entropy(metrics["entropy"])
        report = StepReport(step=self.progress.step, loss=loss, norm=norm, rate=rate, tokens=tokens, skipped=skipped,
                            metrics=metrics)  # fmt: skip
        self.progress.step += 1
        return report

    def agreed(self, flag: bool) -> bool:
        """Whether any process of this trainer says so."""
        return flag if self.processes == 1 else parallel.any_of(flag)

    def checkpoint(self) -> Checkpoint:
        """The model as it is, from all processes."""
        every = self.decoder.named_parameters()
        return self.decoder.checkpoint({name: whole(p.detach()) for name, p in every})

    def _balance(self, samples: Sequence[Sample]) -> Balance | None:
        config = self.model.config
        if not config.num_experts:
            return None
        rows = sum(int(np.count_nonzero(s.ce + s.rl + s.kl)) for s in samples)
        context = None if self.divided is None else self.divided.context
        return Balance(self.settings.balance, self.decoder.ops, config.num_experts_per_tok, rows,
                       together=self.processes > 1, context=context)  # fmt: skip

    def _backward(self, samples: Sequence[Sample], balance: Balance | None) -> tuple[float, int, Sums]:
        """Gradients of all samples; loss, ids and sums of all processes."""
        if self.divided is None:
            return self._added(micro_batches(samples, self.settings.max_tokens), balance)
        readers, reader, layout, *_ = self.divided
        own, most = parallel.own_part(samples, self.settings.max_tokens, readers, reader)
        loss, tokens, sums = self._added(own, balance)
        for _ in range(most - len(own)):  # the others come to the layers once more, and wait there for this one
            part, _ = self.loss(pack([samples[0]], least=layout.context), balance, counts=False)
            (0 * part).backward()  # type: ignore[no-untyped-call]
        self.divided.add_up()
        found = parallel.gather((loss, tokens, {name: (float(v), int(n)) for name, (v, n) in sums.items()}))
        found = found[:: layout.tensor]  # the others have computed the same
        everywhere = Sums()
        for _, _, more in found:
            add(everywhere, {name: (torch.tensor(v), torch.tensor(n)) for name, (v, n) in more.items()})
        return sum(f[0] for f in found), sum(f[1] for f in found[:: layout.context]), everywhere

    def _added(self, micros: Sequence[Sequence[Sample]], balance: Balance | None) -> tuple[float, int, Sums]:
        loss, sums, tokens = 0.0, Sums(), 0
        least = 1 if self.divided is None else self.divided.layout.context
        for micro in micros:
            packed = pack(micro, fill=self.fills, share=True, least=least)
            part, more = self.loss(packed, balance)
            loss, tokens = loss + part.item(), tokens + sum(len(s) - 1 for s in micro)
            if self.divided is not None:
                part = self.divided.shards * part  # gradients of parts are means over those that have them
            part.backward()  # type: ignore[no-untyped-call]
            add(sums, more)
        return loss, tokens, sums

    def loss(self, packed: Packed, balance: Balance | None = None, *, counts: bool = True) -> tuple[Tensor, Sums]:
        """counts: whether the balance takes note of these samples."""
        decoder = self.decoder
        where = decoder.ops.prepare(packed.batch, *decoder.rope.rows(packed.batch))
        if self.divided is not None and self.divided.context is not None:
            context = Context.of(self.divided.context, len(packed.ids))
            where, packed = context.step(where), packed.part(context.own)
        hidden, scores = decoder.hidden_states(packed.ids, where)  # [T, D], [T, E] of each router
        head = decoder.head
        device = hidden.device
        rows = torch.from_numpy(packed.rows).to(device)
        logp, entropy = decoder.ops.token_losses(hidden[rows], head, packed.targets)
        d = None
        if len(packed.taught):
            taught = torch.from_numpy(packed.taught).to(device)
            d = divergence(hidden[taught], head, self._teacher(packed, taught), self.settings.loss.beta)
        loss, sums = total(
            logp, entropy, d, Streams.of(packed, device), self.settings.loss, self.progress.entropy_weight
        )
        if balance is not None:
            wanted = torch.from_numpy(packed.wanted).to(device)
            part = balance.loss(scores, wanted if counts else wanted[:0])
            loss = loss + self.settings.balance.weight * part
            sums["balance"] = part.detach(), torch.tensor(0)
        return loss, sums

    def _teacher(self, packed: Packed, taught: Tensor) -> TopK | Whole:
        if packed.teacher_ids is not None and packed.teacher_logprobs is not None:
            said = (torch.from_numpy(a).to(taught.device) for a in (packed.teacher_ids, packed.teacher_logprobs))
            return TopK(*said)
        if self.teacher is None:
            raise UserError("samples with a kl weight need a teacher, or what a teacher said", param="teacher")
        with torch.no_grad():
            return Whole(self.teacher.hidden_states(packed.ids, packed.batch)[taught], self.teacher.weights[HEAD])

    def _hold_entropy(self, entropy: float) -> None:
        """The bonus grows while the entropy is below its target, and shrinks above."""
        wanted, rate = self.settings.loss.entropy_target, self.settings.loss.entropy_rate
        if wanted is not None and np.isfinite(entropy):
            self.progress.entropy_weight = min(max(self.progress.entropy_weight + rate * (wanted - entropy), 0.0), MOST)

    def _verdict(self, loss: float, norm: float) -> Literal["", "not finite", "spike"]:
        if not (np.isfinite(loss) and np.isfinite(norm)):
            return "not finite"
        norms, factor = self.progress.norms, self.settings.spike
        known = len(norms) >= self.settings.window // 4  # before that nobody knows what is usual
        return "spike" if factor and known and norm > factor * median(norms) else ""

    def _skip(self, samples: Sequence[Sample], why: str) -> None:
        self.progress.skipped += 1
        self.progress.in_a_row += 1
        path = save_samples(self.folder / "skipped" / f"step-{self.progress.step:06d}.npz", samples)
        if self.progress.in_a_row == IN_A_ROW:
            packed = pack(micro_batches(samples, self.settings.max_tokens)[0])
            alone = self.processes == 1  # the weights lie in parts elsewhere
            where = first_broken(self.model, self.parameters, packed) if alone else "one process would say where"
            raise Diverged(
                f"{IN_A_ROW} steps in a row were {why}: {where}. "
                f"The samples are in {path.parent}. Go on from an earlier checkpoint with a lower rate.",
                code="diverged",
            )
        self.optimiser.zero()


def loads_of(balance: Balance) -> dict[str, float]:
    loads = balance.loads()
    return {"load": sum(loads) / len(loads)} | {f"load_{n}": load for n, load in enumerate(loads)}


def add(sums: Sums, more: Sums) -> None:
    for name, (value, count) in more.items():
        old = sums.get(name)
        sums[name] = (value, count) if old is None else (old[0] + value, old[1] + count)


def save_samples(path: Path, samples: Sequence[Sample]) -> Path:
    """As numpy arrays `0.ids`, `0.ce`, ...; `load_samples` reads them back."""
    arrays = {f"{i}.{name}": s.__dict__[name] for i, s in enumerate(samples) for name in ("ids", *STREAMS)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


def load_samples(path: Path) -> list[Sample]:
    with np.load(path, allow_pickle=False) as arrays:
        names = {int(key.split(".")[0]) for key in arrays}
        return [
            Sample.of(**{s: arrays[f"{i}.{s}"] for s in ("ids", *STREAMS) if f"{i}.{s}" in arrays})
            for i in sorted(names)
        ]
