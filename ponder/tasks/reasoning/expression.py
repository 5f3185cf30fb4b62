"""Sums as text, "(8-2)*7": read, and computed without running anything."""

import ast
import re
from collections.abc import Iterator
from fractions import Fraction

LONGEST = 200
SUM = r"(?<![\w.,/×÷+*-])(?:\(\s*)*\d+(?:\s*\)|\s*[-+×÷]\s*(?:\(\s*)*\d+)+(?![\w%]|[.,]\d)"
"""With × and ÷, which no Markdown means."""


def signed(text: str) -> str:
    """The same text with × and ÷ for every other way of writing them inside a sum."""
    text = re.sub(r"\\(?:times|cdot)\b", "×", text)
    text = re.sub(r"\\div\b", "÷", text)
    text = re.sub(r"(?<=[\d)])(\s*)[*·](\s*)(?=[\d(])", r"\1×\2", text)
    return re.sub(r"(?<=[\d)])(\s*)/(\s*)(?=[\d(])", r"\1÷\2", text)


def compact(text: str) -> str:
    """As Python writes it, without blanks."""
    return text.replace("×", "*").replace("÷", "/").replace(" ", "")


def value(text: str) -> Fraction | None:
    """None for what is no sum of whole numbers, or divides by 0."""
    try:
        return _value(ast.parse(text, mode="eval").body) if len(text) <= LONGEST else None
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return None


def numbers(text: str) -> Iterator[int]:
    return map(int, re.findall(r"\d+", text))


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Fraction(node.value)
    if not isinstance(node, ast.BinOp):
        raise ValueError("no sum")
    left, right = _value(node.left), _value(node.right)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
    raise ValueError("another sign")
