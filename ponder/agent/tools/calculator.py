"""The calculator: arithmetic of an expression, exactly where numbers are whole or fractions. No names, no code."""

import ast
import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ponder.agent.tools.function_tool import function_tool
from ponder.core.errors import UserError

Number = int | float | Fraction
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "log2": math.log2, "log10": math.log10, "sin": math.sin,
    "cos": math.cos, "tan": math.tan, "asin": math.asin, "acos": math.acos, "atan": math.atan, "floor": math.floor,
    "ceil": math.ceil, "abs": abs, "round": round, "min": min, "max": max, "gcd": math.gcd, "comb": math.comb,
    "factorial": lambda n: math.factorial(_small(n, 2000)),
}  # fmt: skip
CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
BITS = 20_000  # of a whole number; larger ones would only burn time


def calculate(expression: str) -> str:
    """Calculate an arithmetic expression: + - * / // % ** ( ), sqrt, log, sin, factorial, pi and the like.

    expression: for example (17.5 + 3) * 2**10 / sqrt(2). Python's notation; ^ is a power too.
    """
    if len(expression) > 2000:
        raise UserError("the expression is longer than 2,000 characters")
    try:
        value = _value(ast.parse(expression.replace("^", "**").strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as e:
        raise UserError(f"{expression!r} is not an expression that can be read: {e}") from e
    except (ArithmeticError, ValueError, TypeError) as e:
        raise UserError(f"{expression!r} has no value: {e}") from e
    return _shown(value)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            a, b = _value(left), _value(right)
            return a / b if isinstance(a, float) or isinstance(b, float) else Fraction(a) / Fraction(b)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return _bounded(BINARY[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            return _bounded(FUNCTIONS[name](*map(_value, args)))
    raise UserError(f"{ast.unparse(node)} is not arithmetic; known are {', '.join([*FUNCTIONS, *CONSTANTS])}")


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int | Fraction) and isinstance(exponent, int):
        size = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
        if size * abs(exponent) > BITS:
            raise UserError(f"{base}**{exponent} has too many digits")
        return Fraction(base) ** exponent if exponent < 0 else base**exponent
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the result is not a real number")
    return result


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > BITS:
        raise UserError("the result has too many digits")
    return value


def _small(n: Any, limit: int) -> int:
    if n > limit:
        raise UserError(f"{n} is above {limit}")
    return int(n)


def _shown(value: Number) -> str:
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return str(value.numerator)
        return f"{value} = {float(value):.15g}" if abs(value) < 10**15 else f"{float(value):.15g}"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


calculator = function_tool(calculate, name="calculator")
