"""What training a model takes on GPUs: bytes on each, and days. Arithmetic only; docs/train.md has the formulas.

plan = plan_of(Work(config, tokens=30e12, batch=8_000_000, sequence=4096, micro=8192), Cards("H100", 512), Layout())
plan.fits, plan.needed, plan.days
"""

from collections.abc import Iterator
from itertools import product
from typing import Literal

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.model.capacity import GPU_RESERVE, GPUS, gpus
from ponder.model.config import ModelConfig
from ponder.train.scale.layout import Layout

# dense products in bfloat16 with sums in float32, 10^12 a second, from the vendors' data sheets
SPEED = {
    "H20": 148, "H100": 989, "H200": 989, "A100": 312, "L40S": 362, "RTX 4090": 165, "RTX 5090": 210, "MI300X": 1307,
}  # fmt: skip
UTILISATION = {"dense": 0.4, "moe": 0.25}  # share of that which large runs report; recomputing is not counted as work
STATE = {"bf16": 20, "f32": 16}  # bytes a parameter: weight, master, gradient and its float32 copy, two moments
LOGITS = 10 << 24  # bytes of one chunk of logits and what is computed of them
DEAR = 3 / 4  # the share of the speed that is left when every layer is computed twice


class Cards(Struct, frozen=True):
    name: str
    count: int

    @classmethod
    def of(cls, text: str) -> "Cards":
        """8xH100. Raises UserError for anything else."""
        count, times, name = text.partition("x")
        if not times or not count.strip().isdigit():
            raise UserError(f"GPUs are written as 8xH100, not {text!r}; there are {', '.join(GPUS)}", param="gpus")
        return cls(gpus(name.strip(), int(count)).name, int(count))

    @property
    def memory(self) -> float:
        """Of one, what may be used."""
        return GPUS[self.name][0] * 1e9 * (1 - GPU_RESERVE)

    def __str__(self) -> str:
        return f"{self.count}x{self.name}"


class Work(Struct, frozen=True):
    """A stage of pre-training."""

    config: ModelConfig
    tokens: float
    batch: int
    """Ids of a step."""
    sequence: int
    micro: int
    """Ids of a micro-batch, at most."""
    dtype: Literal["bf16", "f32"] = "bf16"


class Plan(Struct, frozen=True, kw_only=True):
    """Bytes are those of one GPU."""

    cards: Cards
    layout: Layout
    state: float
    """Weights, masters, gradients, moments."""
    gathered: float
    """Whole layers while they compute, with their gradients; table and head."""
    activations: float
    head: float
    days: float
    utilisation: float

    @property
    def needed(self) -> float:
        return self.state + self.gathered + self.activations + self.head

    @property
    def fits(self) -> bool:
        return self.needed <= self.cards.memory


def plan_of(work: Work, cards: Cards, layout: Layout, utilisation: float | None = None) -> Plan:
    """utilisation: share of the cards' speed that is reached. Raises UserError for a layout that cannot be."""
    config = work.config
    layout.check(config, cards.count)
    readers, shards = cards.count // layout.alike, cards.count // layout.tensor
    if work.batch < readers * work.sequence:
        raise UserError(
            f"a step of {work.batch:,} ids has {work.batch // work.sequence:,} sequences, too few for {readers:,} "
            "processes: take a larger batch, fewer GPUs, or more of them for one model (tensor, context)",
            param="batch_tokens",
        )
    ids = max(work.sequence, min(work.micro, work.batch // readers)) / layout.context
    parts = _Parts(config, layout.tensor)
    state = STATE[work.dtype] * (
        parts.shared / shards + parts.experts / (layout.expert if layout.expert > 1 else shards)
    )
    size = 2 if work.dtype == "bf16" else 4
    layer = parts.layer + (0 if layout.expert > 1 else parts.layer_experts)
    gathered = size * (2 * layer + layer + 2 * parts.ends)
    reached = utilisation or UTILISATION["moe" if config.num_experts else "dense"]
    return Plan(
        cards=cards, layout=layout, state=state, gathered=gathered,
        activations=size * ids * _activations(config, layout), head=LOGITS + 3 * size * ids * config.hidden_size,
        days=seconds(work, cards, layout, reached) / 86400, utilisation=reached,
    )  # fmt: skip


def seconds(work: Work, cards: Cards, layout: Layout, reached: float) -> float:
    c = work.config
    counts = c.parameter_counts()
    table = c.vocab_size * c.hidden_size
    products = counts.active - table * (1 if c.tie_word_embeddings else 2) + table  # the table is looked up
    attention = c.num_hidden_layers * c.num_attention_heads * c.head_dim * work.sequence  # half of it is masked
    speed = cards.count * SPEED[cards.name] * 1e12 * reached * (DEAR if layout.recompute else 1)
    return work.tokens * 6 * (products + attention) / speed


def alternatives(work: Work, cards: Cards, layout: Layout) -> Iterator[Plan]:
    """Nearby plans that fit, the smallest change first: recomputing, other divisions, more GPUs."""
    widths = [n for n in (1, 2, 4, 8) if n >= layout.tensor]
    shares = [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n >= layout.expert]
    choices = product(
        (1, 2, 4, 8, 16, 32, 64, 128), widths, shares if work.config.num_experts else (1,),
        dict.fromkeys((layout.recompute, True)), [n for n in (1, 2, 4, 8) if n >= layout.context],
    )  # fmt: skip
    for times, tensor, expert, recompute, context in choices:
        more = Cards(cards.name, times * cards.count)
        try:
            plan = plan_of(work, more, Layout(tensor=tensor, expert=expert, recompute=recompute, context=context))
        except UserError:  # that many cannot share it so
            continue
        if plan.fits:
            yield plan


class _Parts:
    """Parameters of one process of those that share its tensors."""

    def __init__(self, config: ModelConfig, tensor: int) -> None:
        d, c, layers = config.hidden_size, config.head_dim, config.num_hidden_layers
        moe = sum(config.is_moe_layer(i) for i in range(layers))
        attention = 2 * d * c * (config.num_attention_heads + config.num_key_value_heads)
        dense = 3 * d * config.intermediate_size
        self.layer = (attention + (0 if moe else dense)) / tensor + (d * config.num_experts if moe else 0)
        self.layer_experts = 3 * d * config.moe_intermediate_size * config.num_experts if moe else 0
        self.experts = moe * self.layer_experts
        self.ends = config.vocab_size * d * (1 if config.tie_word_embeddings else 2)
        self.shared = self.ends + layers * self.layer


def _activations(config: ModelConfig, layout: Layout) -> float:
    """Numbers an id leaves for the backward pass, and in the layer whose turn it is as many again for gradients."""
    d, c, t = config.hidden_size, config.head_dim, layout.tensor
    q, kv = config.num_attention_heads * c / t, config.num_key_value_heads * c / t
    wide = 3 * config.intermediate_size / t
    if config.num_experts:
        wide = config.num_experts_per_tok * (3 * config.moe_intermediate_size + 2 * d)
    layer = 3 * d + 4 * q + 4 * kv + wide
    return config.num_hidden_layers * (d if layout.recompute else layer) + 2 * layer
