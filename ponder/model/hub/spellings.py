"""How clients spell the name of a model: what one of them asks for, and what a model that is offered answers to.

    answers_to("qwen3:8b").exact                            # qwen3-8b, qwen/qwen3-8b
    answers_to("/models/Qwen3-8B-Q4_K_M.gguf").form_of      # qwen3-8b, qwen/qwen3-8b

Names are compared in small letters, with `-` for `:`, without `:latest` and `.gguf`. Nothing here looks at the disk:
what clients ask for is anybody's text.
"""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from ponder.model.hub.registry import repository_of

# What repositories and files of one model in another number format end with.
_FORM = re.compile(
    r"[-.](gguf|fp8|awq|gptq|int[48]|[348]-?bit|mlx|bnb|bf16|f16|f32|(ud-)?i?q\d\w*|mxfp4\w*|tq\d\w*|w\da\d+)$"
)
_OFFICIAL = re.compile(r"qw(en|q)[\w.-]*")  # what Qwen's own repositories are called


class Answers(NamedTuple):
    """exact: the names of these very files. form_of: those of the model whose other number format they are."""

    exact: frozenset[str]
    form_of: frozenset[str]


def asked(name: str) -> tuple[str, ...]:
    """A name as it is compared: a short one as its repository, as its file, if it has one, and as it stands."""
    short = name.lower().removeprefix("hf:").removeprefix("ms:").removesuffix(":latest")
    place = repository_of(short) or ""
    all_of_it = (place, PurePosixPath(place).name if place.endswith(".gguf") else "", short)
    return tuple(text.lower().removesuffix(".gguf").replace(":", "-") for text in all_of_it if text)


def answers_to(*names: str) -> Answers:
    """names: all that a model goes by: what it was started with, what it is called. A repository answers to its last
    part, and a last part alone to Qwen's repository of that name; another owner's is another model."""
    exact = {spelling for name in names for full in asked(name) for spelling in _spellings(full)}
    forms: set[str] = set()
    for name in exact:
        while (base := _FORM.sub("", name)) != name:
            forms |= {base, *_spellings(PurePosixPath(base).name)}
            name = base
    return Answers(frozenset(exact), frozenset(forms - exact))


def _spellings(full: str) -> set[str]:
    if full.startswith(("/", ".", "~")):  # a path
        return {full, *_spellings(PurePosixPath(full).name)}
    parts = full.split("/")
    found = {full, parts[-1]}
    if len(parts) == 3:  # owner/name/file
        found |= {"/".join(parts[:2]), parts[1]}
    if len(parts) == 1 and _OFFICIAL.fullmatch(full):
        found.add(f"qwen/{full.removeprefix('qwen_')}")
    return found
