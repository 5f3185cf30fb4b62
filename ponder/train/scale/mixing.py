"""`ponder data mix RECIPE`: which mixture of documents lowers the loss on held-out domains, by small proxy models.

    [mixing]
    stage = "base"                                   # the pattern of a proxy, a stage of kind pretrain in the same file
    runs = 12                                        # random mixtures of each level
    domains = ["field:code", "field:stem"]           # held-out losses whose mean is to be low
    [mixing.levels]                                  # what a weight may depend on
    source = ["source:stem", "source:manual"]
    instance = ["field:code", "field:stem"]          # labels of each document

Each level: proxies on random weights, a ridge regression of each domain's ln loss on the logarithms of the shares that
the kinds of documents have in what was read, the weights whose mean loss is foreseen to be lowest, and a proxy on these
that says what it is. Beside them stands the text as it is. Every proxy is a stage in a folder of its own, so that the
same command goes on where it was stopped.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.sections import read_toml, section
from ponder.data.shards.read import Shards
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.recipe.graph import Node
from ponder.train.recipe.read import Recipe, recipe_of
from ponder.train.scale.trial import held_out, pattern_of, trained
from ponder.train.stage import SHARDS, TOKENIZER
from ponder.train.stages.pretrain import Pretrain

Floats = NDArray[np.float64]
FOUND, PAGE = "mixing.json", "mixing.md"
CANDIDATES, TOP = (
    20_000,
    100,
)  # random weights that the regression is asked about; of the best of them the mean is taken
LEAST = 0.01  # a share of 0 has no logarithm
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # how much slopes are held back: what foresees each from the others best


class Mixing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    stage: str
    domains: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    runs: int = 12
    spread: float = 1.0
    """Standard deviation of the logarithms of the random weights."""
    held_out: int = 50_000
    """Ids that losses are measured on, at most."""

    def __post_init__(self) -> None:
        if not self.domains or not self.levels:
            raise UserError("a mixture is looked for on levels, for domains: name some of each", param="mixing")
        for level, keys in self.levels.items():
            if self.runs < len(keys) + 3:
                raise UserError(f"{len(keys)} weights of level {level} want {len(keys) + 3} runs or more", param="runs")
        if not self.spread > 0:
            raise UserError(f"spread must be above 0, got {self.spread}", param="spread")


class Proxy(Struct, frozen=True, kw_only=True):
    weights: dict[str, float]
    shares: dict[str, float]
    """Of each weighted kind in what was read."""
    losses: dict[str, float]
    """Of the domains, nats an id."""

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.losses.values())))


class Level(Struct, frozen=True, kw_only=True):
    proxies: tuple[Proxy, ...]
    best: Proxy
    """On the weights that were foreseen to be best."""
    foreseen: dict[str, float]
    """Its losses, before it was trained."""
    error: float
    """Of the mean loss of a proxy, foreseen from the others: root mean square."""

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.foreseen.values())))


class Outcome(Struct, frozen=True, kw_only=True):
    uniform: Proxy
    levels: dict[str, Level]


def read_mixing(path: Path) -> tuple[Recipe, Mixing]:
    raw = read_toml(path)
    if not isinstance(raw.get("mixing"), dict):
        raise UserError(f"{path} has no [mixing]", param="mixing")
    mixing = section(raw.pop("mixing"), Mixing, f"{path}, mixing")
    return recipe_of(raw, str(path), default_name=path.stem, folder=path.parent), mixing


def look_for(recipe: Recipe, mixing: Mixing, out: Path, log: TextIO | None = None) -> Outcome:
    """Writes `out / mixing.json` and the page `out / mixing.md`."""
    log = log or sys.stderr
    pattern = pattern_of(recipe, mixing.stage)

    def proxy(name: str, keys: Sequence[str], weights: dict[str, float]) -> Proxy:
        # one name for all: seeds follow from names, and proxies that begin alike differ by their texts alone
        stage = replace(pattern, name="proxy", mix=replace(pattern.mix, weights=pattern.mix.weights | weights))
        node = trained(recipe, stage, out / "proxies", log)
        losses = held_out(node, mixing.held_out)
        if missing := [domain for domain in mixing.domains if domain not in losses]:
            raise UserError(f"{missing[0]} is not among what is held out: {', '.join(losses)}", param="domains")
        found = Proxy(weights=weights, shares=shares(node, stage, keys), losses={d: losses[d] for d in mixing.domains})
        print(f"{name}: {found.mean:.4f}", file=sys.stderr)
        return found

    uniform = proxy("uniform", (), {})
    levels: dict[str, Level] = {}
    for level, keys in mixing.levels.items():
        draw = np.random.default_rng([recipe.seed, len(levels)])
        weights = [_weights(keys, own) for own in draw.normal(0, mixing.spread, (mixing.runs, len(keys)))]
        proxies = tuple(proxy(f"{level}-{n}", keys, own) for n, own in enumerate(weights))
        errors = {ridge: _error(proxies, mixing.domains, ridge) for ridge in RIDGES}
        ridge = min(errors, key=lambda each: errors[each])
        law = _fitted(proxies, mixing.domains, ridge)
        best = _best(law, proxies, keys, draw.normal(0, mixing.spread, (CANDIDATES, len(keys))))
        check = proxy(f"{level}-best", keys, best)
        foreseen = dict(zip(mixing.domains, map(float, law.of(_features([check]))[0]), strict=True))
        levels[level] = Level(proxies=proxies, best=check, foreseen=foreseen, error=errors[ridge])
    outcome = Outcome(uniform=uniform, levels=levels)
    for path, text in ((FOUND, msgspec.json.format(msgspec.json.encode(outcome), indent=1)),
                       (PAGE, page(recipe.name, mixing, outcome).encode())):  # fmt: skip
        with replacing(out / path) as file:
            file.write(text)
    return outcome


def shares(node: Node, stage: Pretrain, keys: Sequence[str]) -> dict[str, float]:
    """Of each kind of document in what the stage reads, and of the rest."""
    parent = node.parents["shards"].folder
    shards = Shards.open(parent / SHARDS, Tokenizer.from_path(parent / TOKENIZER))
    longest = stage.sequence or stage.batch_tokens
    pieces = shards.pieces(longest)
    read = stage.mix.repeats(pieces, shards.groups, stage.steps * stage.batch_tokens, longest) * pieces.length
    by_group = np.bincount(pieces.group, read, len(shards.groups))
    of = {key: [key in group.names() for group in shards.groups] for key in keys}
    rest = ~np.array([*of.values(), [False] * len(shards.groups)]).any(0)
    found = {key: float(by_group[which].sum() / by_group.sum()) for key, which in of.items()}
    return found | ({"rest": float(by_group[rest].sum() / by_group.sum())} if rest.any() else {})


class _Law(Struct, frozen=True):
    """ln losses = middle + (features - centre) / scale @ slopes"""

    middle: Floats
    centre: Floats
    scale: Floats
    slopes: Floats

    def of(self, features: Floats) -> Floats:
        found: Floats = np.exp(self.middle + (features - self.centre) / self.scale @ self.slopes)
        return found


def _fitted(proxies: Sequence[Proxy], domains: Sequence[str], ridge: float) -> _Law:
    x, y = _features(proxies), np.log([[p.losses[d] for d in domains] for p in proxies])
    centre, scale, middle = x.mean(0), x.std(0) + 1e-9, y.mean(0)
    z = (x - centre) / scale
    slopes = np.linalg.solve(z.T @ z + ridge * np.eye(z.shape[1]), z.T @ (y - middle))
    return _Law(middle, centre, scale, slopes)


def _features(proxies: Sequence[Proxy]) -> Floats:
    return np.log(np.array([list(p.shares.values()) for p in proxies]) + LEAST)


def _error(proxies: Sequence[Proxy], domains: Sequence[str], ridge: float) -> float:
    """Each foreseen by a law of the others."""
    misses = []
    for n, one in enumerate(proxies):
        others = [*proxies[:n], *proxies[n + 1 :]]
        misses.append(_fitted(others, domains, ridge).of(_features([one])).mean() - one.mean)
    return float(np.sqrt(np.mean(np.square(misses))))


def _best(law: _Law, proxies: Sequence[Proxy], keys: Sequence[str], draws: Floats) -> dict[str, float]:
    """The mean of the best candidates, in logarithms: a single best one would be the luckiest error of the law. Only
    those count whose shares lie between those of the proxies: beyond them nothing is known."""
    first = proxies[0]
    known = np.array([first.shares[key] / first.weights[key] for key in keys])  # what is there, in some unit
    rest = first.shares.get("rest")
    parts = np.exp(draws) * known
    parts = parts if rest is None else np.concatenate([parts, np.full((len(parts), 1), rest)], 1)
    features, known = np.log(parts / parts.sum(1, keepdims=True) + LEAST), _features(proxies)
    inside = ((features >= known.min(0)) & (features <= known.max(0))).all(1)
    if not inside.any():
        return min(proxies, key=lambda p: p.mean).weights
    losses = law.of(features[inside]).mean(1)
    return _weights(keys, draws[inside][np.argsort(losses)[:TOP]].mean(0))


def _weights(keys: Sequence[str], logs: Floats) -> dict[str, float]:
    return {key: float(f"{np.exp(value):.3g}") for key, value in zip(keys, logs, strict=True)}


def page(name: str, mixing: Mixing, outcome: Outcome) -> str:
    head = ["mixture", "weights", "foreseen", "measured", *mixing.domains]
    rows = [["as it is", "", "", outcome.uniform]]
    for level, found in outcome.levels.items():
        weights = ", ".join(f"{key} {value:g}" for key, value in found.best.weights.items())
        rows.append([level, weights, f"{found.mean:.4f}", found.best])
    lines = [f"# {name}", "", "Nats an id of held-out text; the mean over domains, foreseen and measured.", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for *cells, proxy in rows:
        assert isinstance(proxy, Proxy)
        losses = [f"{proxy.losses[domain]:.4f}" for domain in mixing.domains]
        lines.append("| " + " | ".join([*map(str, cells), f"{proxy.mean:.4f}", *losses]) + " |")
    lines += ["", *(f"{level}: {len(found.proxies)} proxies, each foreseen from the others to {found.error:.4f}."
                    for level, found in outcome.levels.items())]  # fmt: skip
    return "\n".join(lines) + "\n"
