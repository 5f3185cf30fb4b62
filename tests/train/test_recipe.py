"""Recipes that cannot be, and what each says; hashes that follow what made a stage."""

import re
from pathlib import Path

import pytest

import recipes
from ponder.core.errors import UserError
from ponder.train.recipe.graph import nodes_of, part, run
from ponder.train.recipe.read import read_recipe, recipe_of
from recipes import base, export, recipe, text, tokenizer, tuned

NAN = float("nan")
WHOLE = (text(), tokenizer(), base(), tuned())


def read(*stages, **more):
    return recipe_of(recipe(*stages, **more), "recipe.toml")


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([], "has no stages"),
        ([text(kind="txt")], "no kind is called 'txt'; did you mean text?"),
        ([{"name": "text"}], "stage 1 (text) has no kind; there are text, "),
        ([text(document=3)], "no field is called 'document'; did you mean documents?"),
        ([text(tasks=["counting"])], "there is no task 'counting'; did you mean count?"),
        ([text(tasks=[])], "a stage without tasks has no data"),
        ([text(levels={"count": [99]})], "levels 0 to 9, not 99"),
        ([text(documents=0)], "documents must be 1 or more"),
        ([text(documents="many")], "Expected `int`"),
        ([{"name": "x", "kind": "text"}], "has no tasks and no documents"),
        ([text(), text()], "two stages are called text"),
        ([text(), tokenizer(**{"from": "texts"})], "no stage is called 'texts'; did you mean text?"),
        ([text(), tokenizer(), base(model=recipes.SHAPE | {"layer": 2})], "did you mean layers?"),
        ([text(), tokenizer(), base(sequence=300)], "the model has 256 positions"),
        ([text(), tokenizer(), base(warmup=9)], "do not fit into 8 steps"),
        ([text(), tokenizer(), base(optimiser="sgd")], "Invalid enum value 'sgd'"),
        ([*WHOLE[:3], tuned(cut=2)], "shares: 0 to 1"),
        ([text(kind=["text"])], "no kind is called ['text']"),
        ([text(name="a" * 300)], "a stage's name has up to 60 letters"),
        ([text(), tokenizer(), base(clip=NAN)], "weight_decay and clip are 0 or more"),
        ([text(), tokenizer(), base(weight_decay=NAN)], "weight_decay and clip are 0 or more"),
        ([text(), tokenizer(), base(beta2=1.0)], "are in [0, 1)"),
        ([text(), tokenizer(), base(max_tokens=0)], "max_tokens is 1 id or more"),
        ([text(), tokenizer(), base(checkpoint_seconds=NAN)], "checkpoint_seconds 0 or more"),
        ([text(), tokenizer(), base(batch_tokens=0)], "batch_tokens are 1 id or more"),
        ([text(), tokenizer(), base(steps=0, tokens=-5)], "tokens and batch_tokens are 1 id or more"),
        ([text(), tokenizer(), base(steps=0, tokens=10, batch_tokens=0)], "batch_tokens are 1 id or more"),
        *(
            ([text(), tokenizer(), base(model=recipes.SHAPE | {name: 0})], f"{name} is 1 or more in the shape")
            for name in recipes.SHAPE
        ),
        ([text(), tokenizer(), base(model=recipes.SHAPE | {"rope_base": NAN})], "rope_base above 0"),
    ],
)
def test_a_recipe_that_cannot_be_says_where_and_why(stages, said):
    with pytest.raises(UserError, match=re.escape(said)):
        read(*stages)


@pytest.mark.parametrize("name", ["", "..", "../elsewhere", "/tmp/x", "a" * 300])
def test_a_recipe_whose_name_is_no_folder(name):
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        read(text(), name=name)


@pytest.mark.parametrize(("stages", "said"), [
    ([text(), export(**{"from": "text"})], "from = 'text': a stage of kind text makes no model; name one that does"),
    ([text(), tokenizer(), base(text="tokenizer")], "text = 'tokenizer': a stage of kind tokenizer makes no text"),
])  # fmt: skip
def test_a_stage_that_makes_something_else_is_named(stages, said, tmp_path):
    with pytest.raises(UserError, match=re.escape(said)):
        run(read(*stages), tmp_path)


def test_from_a_stage_below_until():
    nodes = nodes_of(read(*WHOLE), Path("r"))
    assert [node.stage.name for node in part(nodes, "base", "base")] == ["text", "tokenizer", "base"]
    with pytest.raises(UserError, match="--from tuned stands below --until base"):
        part(nodes, "tuned", "base")


def test_a_law_that_is_no_file():
    with pytest.raises(UserError, match="law is a file"):
        read(text(), law=3)


def test_a_file_that_is_no_recipe_names_itself(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("name = ")
    with pytest.raises(UserError, match=r"bad\.toml is no TOML"):
        read_recipe(path)
    with pytest.raises(UserError, match="No such file"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("recipes/*.toml")), ids=lambda p: p.stem)
def test_the_recipes_of_the_repository_can_be_read(path):
    assert read_recipe(path).name == path.stem.removesuffix("-studies"), "studies share the folder of what they study"


def test_a_changed_field_moves_its_stage_and_those_made_of_it():
    before, after = nodes_of(read(*WHOLE), Path("r")), nodes_of(read(*WHOLE[:2], base(rate=2e-3), tuned()), Path("r"))
    assert [b.folder == a.folder for b, a in zip(before, after, strict=True)] == [True, True, False, False]
    assert all(
        b.folder != a.folder
        for b, a in zip(before, nodes_of(read(*WHOLE, seed=4), Path("r")), strict=True)
    )  # fmt: skip
    assert nodes_of(read(*WHOLE, export()), Path("r"))[:4] == before


def test_a_recipe_that_extends_another_finds_its_stages(tmp_path):
    (tmp_path / "one.toml").write_text(
        'name = "one"\nseed = 5\n[[stage]]\nname = "text"\nkind = "text"\ntasks = ["count"]\ndocuments = 3\n'
    )
    more = '[[stage]]\nname = "tokenizer"\nkind = "tokenizer"\nfrom = "text"\ntasks = ["count"]\nvocab_size = 400\n'
    (tmp_path / "two.toml").write_text('extends = "one.toml"\n' + more)
    one, two = (read_recipe(tmp_path / f"{name}.toml") for name in ("one", "two"))
    assert (two.name, two.seed, [s.name for s in two.stages]) == ("one", 5, ["text", "tokenizer"])
    assert nodes_of(two, tmp_path)[0].folder == nodes_of(one, tmp_path)[0].folder
    (tmp_path / "three.toml").write_text('extends = "two.toml"\nname = "three"\n')
    assert read_recipe(tmp_path / "three.toml").name == "three"


@pytest.mark.parametrize(("first", "said"), [
    ("extends = 3", "extends is the file of another recipe"),
    ('extends = "it.toml"', "extends itself"),
    ('extends = "none.toml"', "none.toml: No such file"),
    ('stage = 3\nextends = "smoke.toml"', "has no stages"),
])  # fmt: skip
def test_what_cannot_be_extended(tmp_path, first, said):
    (tmp_path / "smoke.toml").write_bytes(Path("recipes/smoke.toml").read_bytes())
    (tmp_path / "it.toml").write_text(first + "\n")
    with pytest.raises(UserError, match=said):
        read_recipe(tmp_path / "it.toml")
