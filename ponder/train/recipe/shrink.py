"""A recipe of a large model as one of a minute: do all its stages, and its layout, work?

Two layers, widths of 1/32, sequences of 1/64, two steps a stage; Python's library in place of the texts.
"""

from msgspec.structs import replace

from ponder.train.base.library import UseLibrary
from ponder.train.base.shards import MakeShards
from ponder.train.recipe.read import Recipe
from ponder.train.scale.layout import Layout
from ponder.train.stage import Stage, TextStage
from ponder.train.stages.pretrain import Pretrain, Shape
from ponder.train.stages.tokenizer import MakeTokenizer, QwenTokenizer

NARROWER, SHORTER, LAYERS, STEPS = 32, 64, 2, 2
EVERY, WORDS = 60, 512  # one module of so many; ids of the tokenizer


def shrunk(recipe: Recipe) -> Recipe:
    """Divided into two, where the layout divides; other kinds of stages stay as they are."""
    texts = [stage for stage in recipe.stages if isinstance(stage, TextStage)]
    first = texts[0].name if texts else ""
    alike = [s.name for s in recipe.stages if isinstance(s, MakeShards) and s.from_ in [text.name for text in texts]]
    others = [s for s in recipe.stages if s not in texts and s.name not in alike[1:]]  # all have the same text now
    later = [_small(stage, first, alike) for stage in others]
    needed = {name for stage in later for name in stage.parents().values()}
    small: list[Stage] = [UseLibrary(name=t.name, part="code", every=EVERY) for t in texts if t.name in needed]
    small += later
    layout = recipe.layout
    tensor, expert, context = (min(2, n) for n in (layout.tensor, layout.expert, layout.context))
    halves = Layout(tensor=tensor, expert=expert, context=context, recompute=layout.recompute)
    return replace(recipe, name=f"{recipe.name}-shrunk", stages=tuple(small), layout=halves)


def _small(stage: Stage, text: str, alike: list[str]) -> Stage:
    """text: the first one. alike: stages that make shards of a text."""
    if isinstance(stage, QwenTokenizer):
        return MakeTokenizer(name=stage.name, from_=text, vocab_size=WORDS)
    if isinstance(stage, MakeShards):
        return replace(stage, held_out=0.0, from_=text if stage.name in alike else stage.from_)
    if not isinstance(stage, Pretrain):
        return stage
    sequence = None if stage.sequence is None else stage.sequence // SHORTER
    ids = max(stage.max_tokens // SHORTER, sequence or 0)
    return replace(
        stage, model=None if stage.model is None else _narrow(stage.model), tokens=None, steps=STEPS, batch_tokens=ids,
        max_tokens=ids, sequence=sequence, warmup=0, decay=0,
        shards=alike[0] if stage.shards in alike else stage.shards,
        positions=None if stage.positions is None else stage.positions // SHORTER,
    )  # fmt: skip


def _narrow(shape: Shape) -> Shape:
    return replace(
        shape, hidden_size=shape.hidden_size // NARROWER, layers=min(LAYERS, shape.layers),
        head_dim=max(2, shape.head_dim // NARROWER), mlp=shape.mlp // NARROWER,
        expert_mlp=shape.expert_mlp // NARROWER, positions=shape.positions // SHORTER, vocab_size=None,
    )  # fmt: skip
