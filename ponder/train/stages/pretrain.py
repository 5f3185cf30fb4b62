"""A model that reads text: documents side by side, `<|endoftext|>` behind each, attention inside a document only.

It begins from nothing (`model`, `tokenizer`), or goes on from another stage (`from`) with other text, as later stages
of pre-training do.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import ClassVar

import torch
from msgspec import Struct, field

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.model.config import ModelConfig
from ponder.model.decoder import EMBED
from ponder.model.load import make_ops
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.stage import TEXT, Context, Dtype
from ponder.train.stages.training import Drawn, Likely, TrainingStage
from ponder.train.weights import normalise


class Shape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a Qwen3, dense or with experts. The vocabulary is that of the tokenizer."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    """With experts no layer has one of these; the number only stands in config.json."""
    positions: int = 512
    tied: bool = True
    experts: int = 0
    """Of each layer; 0 is a dense model."""
    experts_per_token: int = 0
    expert_mlp: int = 0

    def config(self, tokenizer: Tokenizer) -> ModelConfig:
        try:
            return ModelConfig(
                model_type="qwen3_moe" if self.experts else "qwen3",
                vocab_size=tokenizer.vocab_size,
                hidden_size=self.hidden_size,
                intermediate_size=self.mlp,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.kv_heads,
                head_dim=self.head_dim,
                max_position_embeddings=self.positions,
                tie_word_embeddings=self.tied,
                num_experts=self.experts,
                num_experts_per_tok=self.experts_per_token,
                moe_intermediate_size=self.expert_mlp,
                norm_topk_prob=self.experts > 0,
                eos_token_ids=tokenizer.eos_ids,
                pad_token_id=tokenizer.control["<|endoftext|>"],
            )
        except ValueError as e:
            raise UserError(f"the shape of the model: {e}", param="model") from e


class Pretrain(TrainingStage, frozen=True, kw_only=True, tag="pretrain"):
    together: ClassVar[bool] = True
    text: str
    """A stage of kind text."""
    tokenizer: str | None = None
    """A stage of kind tokenizer, for a new model."""
    model: Shape | None = None
    """Of a new model."""
    from_: str | None = field(name="from", default=None)
    """A stage whose model goes on, with the tokenizer that it has."""
    batch_tokens: int = 4096
    """Ids of a step, at least: the document that reaches it is the last one."""
    sequence: int | None = None
    """Longer documents are cut into pieces of so many ids; as many as the model has positions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.from_ is None) != (self.model is not None) or (self.from_ is None) != (self.tokenizer is not None):
            raise UserError(
                "pre-training begins with a new model (model and tokenizer) or goes on from a stage (from): "
                "give the two or the one",
                param="from",
            )
        if self.model is not None:
            self._check_sequence(self.model.positions)

    def parents(self) -> dict[str, str]:
        if self.from_ is not None:
            return {"text": self.text, "from": self.from_}
        return {"text": self.text} | ({} if self.tokenizer is None else {"tokenizer": self.tokenizer})

    def run(self, ctx: Context) -> None:
        tokenizer = ctx.tokenizer("from" if self.model is None else "tokenizer")
        model = (
            ctx.model() if self.model is None else fresh(self.model.config(tokenizer), ctx.seed, tokenizer, ctx.dtype)
        )
        self._check_sequence(model.max_context)
        batch = self.batch(_texts(ctx), tokenizer, ctx.seed, model.max_context)
        self.learn(ctx, self.trainer(ctx, model), tokenizer, batch)

    def preview(self, ctx: Context) -> list[Sample]:
        tokenizer = ctx.tokenizer("from" if self.model is None else "tokenizer")
        positions = ctx.model().max_context if self.model is None else self.model.positions
        return self.batch(_texts(ctx), tokenizer, ctx.seed, positions)(0).samples

    def likely(self, tokenizer: Tokenizer, texts: Sequence[str], seed: int, positions: int) -> Likely:
        return Likely(self.batch(texts, tokenizer, seed, positions)(0).samples)

    def batch(self, texts: Iterable[str], tokenizer: Tokenizer, seed: int, positions: int) -> Callable[[int], Drawn]:
        """The samples of each step."""
        end = tokenizer.control["<|endoftext|>"]
        pieces = [p for text in texts for p in cut([*tokenizer.encode(text), end], self.sequence or positions)]
        if not pieces:
            raise UserError(f"stage {self.name} has no data: the text is empty", param="text")
        order = list(islice(batches([len(p) for p in pieces], self.batch_tokens, seed), self.steps))
        return lambda step: Drawn(normalise([Sample.of(pieces[n], ce=1.0) for n in order[step]], "token"))

    def _check_sequence(self, positions: int) -> None:
        if self.sequence is not None and not 2 <= self.sequence <= positions:
            raise UserError(
                f"sequence is {self.sequence}, but the model has {positions} positions: take 2 to {positions}, or "
                "more positions",
                param="sequence",
            )


def _texts(ctx: Context) -> list[str]:
    with (ctx.parents["text"] / TEXT).open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def fresh(config: ModelConfig, seed: int, tokenizer: Tokenizer, dtype: Dtype = "f32") -> Model:
    """Untrained, over the torch ops. The same for the same seed."""
    checkpoint = random_checkpoint(config, seed)
    checkpoint.generation_config["eos_token_id"] = list(tokenizer.eos_ids)
    model = build(checkpoint, make_ops("torch"), dtype)
    table = model.weights[EMBED]
    assert isinstance(table, torch.Tensor)
    with torch.no_grad():
        table.mul_(config.hidden_size**-0.5 / config.initializer_range)
    return model


def cut(ids: Sequence[int], longest: int) -> list[list[int]]:
    """Pieces of at most `longest` ids; a last one of a single id, which could teach nothing, is left out."""
    return [list(ids[i : i + longest]) for i in range(0, len(ids), longest) if len(ids) - i > 1]


def batches(lengths: Sequence[int], tokens: int, seed: int) -> Iterator[list[int]]:
    """Endless: numbers of documents until `tokens` ids are reached. Each document once in every round, in an order of
    its own."""
    batch: list[int] = []
    size, epoch = 0, 0
    while True:
        order = list(range(len(lengths)))
        random.Random(f"{seed} {epoch}").shuffle(order)
        for n in order:
            batch.append(n)
            size += lengths[n]
            if size >= tokens:
                yield batch
                batch, size = [], 0
        epoch += 1
