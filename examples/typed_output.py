"""An answer as a value: a dataclass here; a TypedDict or a pydantic model goes as well.

python examples/typed_output.py [MODEL]
"""

import sys
from dataclasses import dataclass

from ponder import LLM


@dataclass
class Ingredient:
    name: str
    grams: int


@dataclass
class Recipe:
    title: str
    minutes: int
    ingredients: list[Ingredient]


with LLM(*sys.argv[1:2]) as llm:
    recipe = llm.chat("A simple tomato soup.", output=Recipe, max_tokens=600).parsed
    print(f"{recipe.title}, {recipe.minutes} minutes")
    for ingredient in recipe.ingredients:
        print(f"  {ingredient.grams} g {ingredient.name}")
