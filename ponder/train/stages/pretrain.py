"""A model that reads text: documents side by side, `<|endoftext|>` after each, attention inside a document only.

It begins from nothing (`model`), or goes on from another stage (`from`) with another mixture, longer sequences and
another base of RoPE, as later stages of pre-training do. What it reads are shards (`ponder.data.shards`): those of a
stage of kind shards, or of a text that it writes as shards first.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import msgspec
import torch
from msgspec import Struct, field

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.data.document import Document
from ponder.data.shards.mix import Mix
from ponder.data.shards.order import Reading
from ponder.data.shards.read import Shards
from ponder.data.shards.write import MANIFEST, documents_of, write
from ponder.model.config import ModelConfig
from ponder.model.decoder import EMBED
from ponder.model.load import make_ops
from ponder.model.model import Model
from ponder.model.rope import Rope
from ponder.model.weights.build import build, random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train import parallel
from ponder.train.schedule import Schedule
from ponder.train.stage import SHARDS, TEXT, Context, Dtype
from ponder.train.stages.training import Drawn, Likely, TrainingStage
from ponder.train.weights import normalise

PREVIEWED = 2000  # documents of a text, at most, that a preview makes ids of
CHARACTERS = 16  # for each id of a step: enough text to fill one


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
    rope_base: float = 1_000_000.0
    tied: bool = True
    experts: int = 0
    """Of each layer; 0 is a dense model."""
    experts_per_token: int = 0
    expert_mlp: int = 0
    vocab_size: int | None = None
    """Rows of the embedding, where they are more than the tokenizer has ids."""

    def __post_init__(self) -> None:
        sizes = ("hidden_size", "layers", "heads", "kv_heads", "head_dim", "positions")
        for name in (*sizes, "experts_per_token", "expert_mlp") if self.experts else (*sizes, "mlp"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is 1 or more in the shape of a model", param="model")
        if self.experts < 0 or not 0 < self.rope_base < math.inf:
            raise UserError("experts is 0 or more in the shape of a model, rope_base above 0", param="model")

    def config(self, tokenizer: Tokenizer) -> ModelConfig:
        rows = self.vocab_size or tokenizer.vocab_size
        if rows < tokenizer.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} ids, and the model is to know {rows}: leave vocab_size out",
                param="vocab_size",
            )
        return msgspec.structs.replace(
            self.of_vocabulary(rows),
            eos_token_ids=tokenizer.eos_ids,
            pad_token_id=tokenizer.control["<|endoftext|>"],
        )

    def of_vocabulary(self, rows: int) -> ModelConfig:
        try:
            return ModelConfig(
                model_type="qwen3_moe" if self.experts else "qwen3",
                vocab_size=rows,
                hidden_size=self.hidden_size,
                intermediate_size=self.mlp,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                num_key_value_heads=self.kv_heads,
                head_dim=self.head_dim,
                max_position_embeddings=self.positions,
                rope_theta=self.rope_base,
                tie_word_embeddings=self.tied,
                num_experts=self.experts,
                num_experts_per_tok=self.experts_per_token,
                moe_intermediate_size=self.expert_mlp,
                norm_topk_prob=self.experts > 0,
            )
        except ValueError as e:
            raise UserError(f"the shape of the model: {e}", param="model") from e


class Pretrain(TrainingStage, frozen=True, kw_only=True, tag="pretrain"):
    together: ClassVar[bool] = True
    shards: str | None = None
    """A stage of kind shards."""
    text: str | None = None
    """Or a text that only this stage reads, as ids of `tokenizer`, or of the tokenizer that `from` has."""
    tokenizer: str | None = None
    """A stage of kind tokenizer, for a new model and a text."""
    model: Shape | None = None
    """Of a new model."""
    from_: str | None = field(name="from", default=None)
    """A stage whose model goes on, with the tokenizer that it has."""
    steps: int = 0
    tokens: int | None = None
    """Ids of all steps, in place of `steps`."""
    batch_tokens: int = 4096
    """Ids of a step, about: documents stay whole."""
    sequence: int | None = None
    """Longer documents are cut into pieces of so many ids; as many as the model has positions."""
    mix: Mix = field(default_factory=Mix)
    """How often which document is read."""
    start: float = 0.0
    """The rate that the stage before ended with: where the warm-up begins."""
    rope_base: float | None = None
    """Base of RoPE from here on, and in the model that comes out; as it was."""
    positions: int | None = None
    """Of the model from here on; as it was."""

    def __post_init__(self) -> None:
        if self.batch_tokens < 1 or (self.tokens is not None and self.tokens < 1):
            raise UserError("tokens and batch_tokens are 1 id or more", param="tokens")
        if self.tokens is not None:
            if self.steps not in (0, max(1, self.tokens // self.batch_tokens)):
                raise UserError("give tokens or steps, not both", param="tokens")
            msgspec.structs.force_setattr(self, "steps", max(1, self.tokens // self.batch_tokens))
        if not self.steps:
            raise UserError("how long? Give steps, or tokens", param="steps")
        super().__post_init__()
        if (self.shards is None) == (self.text is None):
            raise UserError("pre-training reads shards or a text: give one of them", param="shards")
        wants = self.from_ is None and self.text is not None
        if (self.from_ is None) != (self.model is not None) or wants != (self.tokenizer is not None):
            raise UserError(
                "pre-training begins with a new model (model, and tokenizer where it reads a text) or goes on from a "
                "stage (from): give the two or the one",
                param="from",
            )
        if self.model is not None:
            if self.rope_base is not None or self.positions is not None:
                raise UserError("rope_base and positions of a new model stand in its section, model", param="positions")
            self._check_sequence(self.model.positions)

    def parents(self) -> dict[str, str]:
        roles = {"shards": self.shards, "text": self.text, "tokenizer": self.tokenizer, "from": self.from_}
        return {role: name for role, name in roles.items() if name is not None}

    def schedule(self) -> Schedule:
        return replace(super().schedule(), start=self.start)

    def run(self, ctx: Context) -> None:
        tokenizer, model = self._tokenizer(ctx), self._model(ctx)
        self._check_sequence(model.max_context)
        if tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"the shards have ids up to {tokenizer.vocab_size - 1}, the model {model.config.vocab_size} of them: "
                "they do not belong together",
                param="shards",
            )
        batch = self.batch(self._shards(ctx, tokenizer), ctx.seed, model.max_context)
        self.learn(ctx, self.trainer(ctx, model), tokenizer, batch)

    def preview(self, ctx: Context) -> list[Sample]:
        tokenizer = self._tokenizer(ctx)
        positions = self.positions or (ctx.model().max_context if self.model is None else self.model.positions)
        if self.shards is None:
            texts = [document.text for _, document in zip(range(PREVIEWED), documents_of(ctx.parents["text"] / TEXT))]
            return self.likely(tokenizer, texts, ctx.seed, positions).samples
        return self.batch(self._shards(ctx, tokenizer), ctx.seed, positions)(0).samples

    def likely(self, tokenizer: Tokenizer, texts: Sequence[str], seed: int, positions: int) -> Likely:
        """Without the weights of the mixture: texts do not say what they are. Long documents are as long as can be."""
        longest = self.sequence or positions
        if self.mix.long is not None:
            joined = "\n".join(texts)
            size = 8 * longest
            texts = [joined[i : i + size] for i in range(0, len(joined), size)]
        characters = CHARACTERS * max(self.batch_tokens, longest)
        texts = texts[:: max(1, sum(map(len, texts)) // characters)]
        documents = (Document(text=text, source="text", origin="") for text in texts)
        with TemporaryDirectory() as folder:
            write(documents, tokenizer, Path(folder))
            shards = Shards.open(Path(folder), tokenizer)
            return Likely(msgspec.structs.replace(self, mix=Mix()).batch(shards, seed, positions)(0).samples)

    def batch(self, shards: Shards, seed: int, positions: int) -> Callable[[int], Drawn]:
        """The samples of each step."""
        longest = self.sequence or positions
        pieces = shards.pieces(longest)
        reading = Reading.of(
            pieces, shards.groups, self.mix, steps=self.steps, batch=self.batch_tokens, longest=longest, seed=seed
        )  # fmt: skip
        return lambda step: Drawn(
            normalise([Sample.of(shards.ids(pieces, n), ce=1.0) for n in reading.step(step)], "token")
        )

    def _tokenizer(self, ctx: Context) -> Tokenizer:
        return ctx.tokenizer(next(role for role in ("shards", "tokenizer", "from") if role in ctx.parents))

    def _model(self, ctx: Context) -> Model:
        if self.model is not None:
            tokenizer = self._tokenizer(ctx)
            return fresh(self.model.config(tokenizer), ctx.seed, tokenizer, ctx.dtype)
        return stretched(ctx.model(), self.rope_base, self.positions)

    def _shards(self, ctx: Context, tokenizer: Tokenizer) -> Shards:
        if self.shards is not None:
            return Shards.open(ctx.parents["shards"] / SHARDS, tokenizer)
        folder = ctx.folder / SHARDS
        if parallel.first() and not (folder / MANIFEST).exists():
            write(documents_of(ctx.parents["text"] / TEXT), tokenizer, folder)
        parallel.wait()
        return Shards.open(folder, tokenizer)

    def _check_sequence(self, positions: int) -> None:
        if self.sequence is not None and not 2 <= self.sequence <= positions:
            raise UserError(
                f"sequence is {self.sequence}, but the model has {positions} positions: take 2 to {positions}, or "
                "more positions",
                param="sequence",
            )


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


def stretched(model: Model, rope_base: float | None, positions: int | None) -> Model:
    """The same weights with another base of RoPE (ABF) and another number of positions."""
    old = model.config
    config = msgspec.structs.replace(
        old, rope_theta=rope_base or old.rope_theta, max_position_embeddings=positions or old.max_position_embeddings
    )
    return replace(model, config=config, rope=Rope(config), max_context=positions or model.max_context)
