"""Small science: one or two laws with units. The thought writes the law, puts the numbers in and computes."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ponder.core.sample import Problem
from ponder.tasks.base import Task, constant_chance
from ponder.tasks.read import decimal, read_number

Law = Callable[..., Fraction]


@dataclass(frozen=True)
class Case:
    """asks: the question, with {0} {1} ... for the numbers. law: how it is written, and computed."""

    asks: str
    unit: str
    written: str
    law: Law


ONE: dict[str, Case] = {
    "speed": Case("A train goes {0} m in {1} s. How many m/s is its speed?", "m/s", "v = s / t = {0} / {1}",
                  lambda s, t: s / t),
    "force": Case("A force speeds up {0} kg by {1} m/s each second. How many newtons is it?", "N",
                  "F = m a = {0} * {1}", lambda m, a: m * a),
    "density": Case("{0} g of a metal fill {1} cm3. How many g/cm3 is its density?", "g/cm3", "d = m / V = {0} / {1}",
                    lambda m, v: m / v),
    "current": Case("{0} V lie on a resistance of {1} ohms. How many amperes flow?", "A", "I = U / R = {0} / {1}",
                    lambda u, r: u / r),
    "work": Case("A crate is pushed {0} m with {1} N. How many joules is the work?", "J", "W = F s = {1} * {0}",
                 lambda s, f: f * s),
    "pressure": Case("{0} N press on {1} m2. How many pascals is the pressure?", "Pa", "p = F / A = {0} / {1}",
                     lambda f, a: f / a),
    "molar": Case("{0} mol of a salt are solved in {1} litres. How many mol/l is the solution?", "mol/l",
                  "c = n / V = {0} / {1}", lambda n, v: n / v),
}  # fmt: skip
TWO: dict[str, Case] = {
    "kinetic": Case("{0} kg move at {1} m/s. How many joules is their kinetic energy?", "J",
                    "E = m v v / 2 = {0} * {1} * {1} / 2", lambda m, v: m * v * v / 2),
    "power": Case("{0} V lie on {1} ohms. How many watts become heat?", "W", "P = U U / R = {0} * {0} / {1}",
                  lambda u, r: u * u / r),
    "lift": Case("{0} kg are lifted by {1} m in {2} s, g = 10 m/s2. How many watts is that?", "W",
                 "P = m g h / t = {0} * 10 * {1} / {2}", lambda m, h, t: m * 10 * h / t),
    "thin": Case("{0} ml of a solution of {1} mol/l become {2} ml with water. How many mol/l is it then?", "mol/l",
                 "c = c1 V1 / V = {1} * {0} / {2}", lambda v, c, w: c * v / w),
    "series": Case("{0}, {1} and {2} ohms are in a row on a source of 12 V. How many volts lie on the first?", "V",
                   "U = 12 R1 / (R1 + R2 + R3) = 12 * {0} / ({0} + {1} + {2})", lambda a, b, c: 12 * a / (a + b + c)),
}  # fmt: skip
CASES = ONE | TWO


@dataclass(frozen=True)
class Science(Task):
    """Level 0: one multiplication or division; level 1: two and more."""

    name: str = "science"
    levels: int = 2

    def draw(self, rng: random.Random, level: int) -> str:
        """Numbers whose answer has at most three decimals."""
        while True:
            kind = rng.choice(list(TWO if level else ONE))
            count = 1 + max(n for n in range(3) if f"{{{n}}}" in CASES[kind].asks)
            numbers = [rng.randrange(2, 100) for _ in range(count)]
            if (_value(kind, numbers) * 1000).denominator == 1:
                return " ".join(map(str, (kind, *numbers)))

    def question(self, id_: str) -> str:
        kind, *numbers = id_.split(" ")
        return CASES[kind].asks.format(*numbers)

    def think(self, id_: str) -> str:
        kind, *numbers = id_.split(" ")
        return f"{CASES[kind].written.format(*numbers)} = {self.solve(id_)} {CASES[kind].unit}"

    def solve(self, id_: str) -> str:
        kind, *numbers = id_.split(" ")
        return decimal(f"{float(_value(kind, list(map(int, numbers)))):.3f}")

    def read(self, problem: Problem, text: str) -> str | None:
        unit = CASES[problem.id.split(" ")[0]].unit
        found = read_number(re.sub(rf"(?<=\d)\s*{unit}(?![\w/])", "", text))
        return None if found is None else decimal(found)

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        right = float(self.answer(problem))
        return decimal(f"{right * rng.choice((2, 10)) + 1:.3f}")

    def chance(self, level: int) -> float:
        return constant_chance(self, level)

    def size(self, level: int) -> str:
        return "two steps and more" if level else "one step"


def _value(kind: str, numbers: list[int]) -> Fraction:
    return CASES[kind].law(*map(Fraction, numbers))
