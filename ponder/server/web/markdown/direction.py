"""Arabic, Hebrew and the like run from right to left: each block in the direction of its first letter."""

from unicodedata import bidirectional

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token


def direction_plugin(parser: MarkdownIt) -> None:
    parser.core.ruler.after("inline", "direction", _directions)


def _directions(state: StateCore) -> None:
    """A list, a quotation and a table run as their first text does."""
    undecided: list[Token] = []
    for token in state.tokens:
        if token.nesting == 1:
            undecided.append(token)
        elif token.nesting == -1 and undecided:
            undecided.pop()
        elif token.type == "inline" and (runs := direction(token)):
            for block in undecided:
                if "dir" not in block.meta:
                    block.meta["dir"] = runs
                    if runs == "rtl":
                        block.attrs["dir"] = runs


def direction(inline: Token) -> str:
    """ "rtl" or "ltr" by the first letter that has a direction; code has none. "" where there is no such letter."""
    for child in inline.children or ():
        for letter in child.content if child.type == "text" else "":
            match bidirectional(letter):
                case "L":
                    return "ltr"
                case "R" | "AL":
                    return "rtl"
    return ""
