"""What pre-training reads, and how a later stage changes the model."""

import io
import json
import re

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.data.shards.read import Shards
from ponder.train.recipe.estimate import estimate
from ponder.train.recipe.graph import context_of, nodes_of, run
from ponder.train.recipe.read import recipe_of
from ponder.train.record.metrics import read
from recipes import SHAPE, base, recipe, text, tokenizer

PARTS = (
    text(name="words", tasks=["reverse"], levels={}, labels={"field": "general"}),
    text(name="sums", tasks=["add"], levels={}, labels={"field": "stem"}),
    {"name": "text", "kind": "join", "from": ["words", "sums"]},
    tokenizer(),
    {"name": "shards", "kind": "shards", "from": "text", "tokenizer": "tokenizer", "held_out": 0.1},
)


def stage(name="first", **more):
    own = {"name": name, "kind": "pretrain", "shards": "shards", "batch_tokens": 300, "tokens": 1200}
    return own | ({} if "from" in more else {"model": SHAPE | {"rope_base": 10_000.0}}) | more


SECOND = stage("second", **{
    "from": "first", "rope_base": 1e6, "positions": 512, "sequence": 256, "start": 1e-3,
    "mix": {"weights": {"field:stem": 3.0}, "epochs": 4.0},
})  # fmt: skip


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    whole = recipe_of(recipe(*PARTS, stage(), SECOND), "test")
    return {n.stage.name: n for n in run(whole, tmp_path_factory.mktemp("run"), log=io.StringIO())}


def test_the_model_that_comes_out_carries_base_and_positions(nodes):
    found = [json.loads((nodes[n].folder / "model/config.json").read_text()) for n in ("first", "second")]
    assert [(c["rope_theta"], c["max_position_embeddings"]) for c in found] == [(1e4, 256), (1e6, 512)]


def test_tokens_become_steps_and_a_mixture_is_read(nodes):
    assert len(read(nodes["second"].folder / "metrics.jsonl")) == 4
    node = nodes["second"]
    context = context_of(node)
    shards = Shards.open(node.parents["shards"].folder / "shards", context.tokenizer("shards"))

    def fields(held_out: bool) -> dict:
        """Of every piece, by its ids."""
        pieces = shards.pieces(256, held_out=held_out)
        names = [shards.groups[group].label("field") for group in pieces.group]
        return {tuple(shards.ids(pieces, n)): name for n, name in enumerate(names)}

    batch, learned = node.stage.batch(shards, node.seed, 512), fields(held_out=False)
    drawn = [learned[tuple(s.ids.tolist())] for step in range(4) for s in batch(step).samples]
    assert fields(held_out=True) and not fields(held_out=True).keys() & learned.keys()
    share = {name: drawn.count(name) / list(learned.values()).count(name) for name in ("stem", "general")}
    assert share["stem"] > 2 * share["general"]


def test_shards_come_with_a_page_about_the_tokenizer(nodes):
    page = (nodes["shards"].folder / "tokens.md").read_text()
    assert "English (eng_Latn)" in page and "Qwen3 has 151,669 ids" in page


def test_an_estimate_needs_nothing_made(tmp_path):
    lines = {
        line.stage: line for line in estimate(nodes_of(recipe_of(recipe(*PARTS, stage(), SECOND), "t"), tmp_path), 0.2)
    }
    assert 1200 <= lines["second"].ids < 1200 + 4 * 256 and lines["second"].memory  # a step, and a document more
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([stage(text="text")], "reads shards or a text"),
        ([stage(tokenizer="tokenizer")], "begins with a new model"),
        ([stage(steps=3)], "tokens or steps, not both"),
        ([stage(tokens=None)], "how long? Give steps, or tokens"),
        ([stage(positions=512)], "stand in its section, model"),
        ([stage(mix={"weight": {}})], "did you mean weights?"),
        ([stage(), SECOND | {"mix": {"epochs": -1.0}}], "above 0"),
    ],
)
def test_stages_that_cannot_be(stages, said):
    with pytest.raises(UserError, match=re.escape(said)):
        recipe_of(recipe(*PARTS, *stages), "test")


def test_a_text_alone_is_written_as_shards_first(tmp_path):
    *_, node = run(recipe_of(recipe(text(), tokenizer(), base(steps=2)), "test"), tmp_path, log=io.StringIO())
    shards = Shards.open(node.folder / "shards", context_of(node).tokenizer("tokenizer"))
    assert len(shards.documents) == 200 and np.all(~shards.documents["held"])


def test_several_problems_make_one_long_document(tmp_path):
    single, joined = (recipe_of(recipe(text(documents=n, each=each)), "t").stages[0] for n, each in ((6, 1), (2, 3)))
    one, three = single.some(5, 6), joined.some(5, 2)
    assert three == ["\n".join(one[:3]), "\n".join(one[3:])]
