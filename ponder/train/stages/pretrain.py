"""A model from nothing: documents side by side, `<|endoftext|>` behind each, attention inside a document only."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from msgspec import Struct

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.model.config import ModelConfig
from ponder.model.decoder import EMBED
from ponder.model.load import make_ops
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.stage import TEXT, Context
from ponder.train.stages.training import Drawn, TrainingStage
from ponder.train.weights import normalise


class Shape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a dense Qwen3. The vocabulary is that of the tokenizer."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    positions: int = 512
    tied: bool = True

    def config(self, tokenizer: Tokenizer) -> ModelConfig:
        try:
            return ModelConfig(
                model_type="qwen3",
                vocab_size=tokenizer.vocab_size,
                hidden_size=self.hidden_size,
                intermediate_size=self.mlp,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.kv_heads,
                head_dim=self.head_dim,
                max_position_embeddings=self.positions,
                tie_word_embeddings=self.tied,
                eos_token_ids=tokenizer.eos_ids,
                pad_token_id=tokenizer.control["<|endoftext|>"],
            )
        except ValueError as e:
            raise UserError(f"the shape of the model: {e}", param="model") from e


class Pretrain(TrainingStage, frozen=True, kw_only=True, tag="pretrain"):
    text: str
    tokenizer: str
    """The stages that made them."""
    model: Shape
    batch_tokens: int = 4096
    """Ids of a step, at least: the document that reaches it is the last one."""
    sequence: int | None = None
    """Longer documents are cut into pieces of so many ids; as many as the model has positions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sequence is not None and not 2 <= self.sequence <= self.model.positions:
            raise UserError(
                f"sequence is {self.sequence}, but the model has {self.model.positions} positions: take 2 to "
                f"{self.model.positions}, or more positions",
                param="sequence",
            )

    def parents(self) -> dict[str, str]:
        return {"text": self.text, "tokenizer": self.tokenizer}

    def run(self, ctx: Context) -> None:
        tokenizer = ctx.tokenizer("tokenizer")
        batch = self._batch(ctx, tokenizer)
        trainer = self.trainer(ctx, fresh(self.model.config(tokenizer), ctx.seed, tokenizer))
        self.learn(ctx, trainer, tokenizer, batch)

    def preview(self, ctx: Context) -> list[Sample]:
        return self._batch(ctx, ctx.tokenizer("tokenizer"))(0).samples

    def _batch(self, ctx: Context, tokenizer: Tokenizer) -> Callable[[int], Drawn]:
        end = tokenizer.control["<|endoftext|>"]
        with (ctx.parents["text"] / TEXT).open(encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        pieces = [
            p for text in texts for p in cut([*tokenizer.encode(text), end], self.sequence or self.model.positions)
        ]
        if not pieces:
            raise UserError(f"stage {self.name} has no data: the text is empty", param="text")
        order = list(islice(batches([len(p) for p in pieces], self.batch_tokens, ctx.seed), self.steps))
        return lambda step: Drawn(normalise([Sample.of(pieces[n], ce=1.0) for n in order[step]], "token"))


def fresh(config: ModelConfig, seed: int, tokenizer: Tokenizer) -> Model:
    """Untrained, over the torch ops. The same for the same seed."""
    checkpoint = random_checkpoint(config, seed)
    checkpoint.generation_config["eos_token_id"] = list(tokenizer.eos_ids)
    model = build(checkpoint, make_ops("torch"), "f32")
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
