"""Prompts that ask for what stands between two texts, as Qwen2.5-Coder and Qwen3-Coder were trained to (fill in the
middle).

    fill_in_ids(tokenizer, "def fib(n):\\n    return ", "\\n\\nprint(fib(9))")

Texts of a file are text, whatever they spell: a control token in them has no meaning here (SEC-1).
"""

from collections.abc import Sequence
from typing import NamedTuple

from ponder.core.errors import UserError
from ponder.text.tokenizer.tokenizer import Tokenizer

# The tokens of the form, all of which end what was filled in: with one of them another piece would begin.
_FORM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")
REPOSITORY = "repository"  # what the files are of, where nobody says; the form has a place for a name


class SourceFile(NamedTuple):
    name: str
    text: str


def fill_in_ids(
    tokenizer: Tokenizer,
    prefix: str,
    suffix: str,
    files: Sequence[SourceFile] = (),
    *,
    name: str = "",
    context: int | None = None,
) -> list[int]:
    """files: others of the repository, which come first; name: of the file that is filled in. context: as in
    `Tokenizer.encode`. Raises UserError for a vocabulary without these tokens."""
    control = _control(tokenizer)
    pieces: list[str | int] = [control["<|repo_name|>"], f"{REPOSITORY}\n"] if files else []
    for file in files:
        pieces += [control["<|file_sep|>"], f"{file.name}\n{file.text}\n"]
    if files:
        pieces += [control["<|file_sep|>"], f"{name or 'file'}\n"]
    pieces += [control["<|fim_prefix|>"], prefix, control["<|fim_suffix|>"], suffix, control["<|fim_middle|>"]]
    ids: list[int] = []
    for piece in pieces:
        ids += [piece] if isinstance(piece, int) else tokenizer.encode(piece, context=context)
    return ids


def fill_in_ends(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids that end what is filled in, beside the model's own."""
    return tuple(_control(tokenizer).values())


def _control(tokenizer: Tokenizer) -> dict[str, int]:
    if missing := [name for name in _FORM if name not in tokenizer.control]:
        text = f"this model's vocabulary has no {missing[0]}: it was not made to fill in between two texts"
        raise UserError(text, param="suffix")
    return {name: tokenizer.control[name] for name in _FORM}
