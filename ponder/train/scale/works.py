"""The stages of pre-training of a recipe, as `plan` wants them."""

from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.base.shards import MakeShards
from ponder.train.recipe.read import Recipe
from ponder.train.scale.plan import Work
from ponder.train.stage import Stage
from ponder.train.stages.pretrain import Pretrain, Shape
from ponder.train.stages.tokenizer import MakeTokenizer


def works_of(recipe: Recipe) -> dict[str, Work]:
    """By the names of stages. Raises UserError where there is none."""
    tokenizers: dict[str, Stage] = {}
    shapes: dict[str, Shape] = {}
    works: dict[str, Work] = {}
    for stage in recipe.stages:
        if isinstance(stage, MakeShards):
            tokenizers[stage.name] = tokenizers[stage.tokenizer]
        elif isinstance(stage, Pretrain):
            shape = stage.model or shapes[str(stage.from_)]
            shape = replace(shape, positions=stage.positions or shape.positions)
            tokenizers[stage.name] = tokenizers[str(stage.tokenizer or stage.shards or stage.from_)]
            rows = shape.vocab_size or _rows(tokenizers[stage.name])
            shapes[stage.name] = shape
            works[stage.name] = Work(
                shape.of_vocabulary(rows), stage.steps * stage.batch_tokens, stage.batch_tokens,
                stage.sequence or shape.positions, stage.max_tokens,
                stage.dtype or recipe.dtype,
            )  # fmt: skip
        else:
            tokenizers[stage.name] = stage
    if not works:
        raise UserError("the recipe has no stage of kind pretrain: nothing to plan", param="recipe")
    return works


def _rows(stage: Stage) -> int:
    return stage.vocab_size if isinstance(stage, MakeTokenizer) else Tokenizer.packaged().vocab_size
