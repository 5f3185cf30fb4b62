"""Makes the packaged model out of texts of `ponder data`.

    python -m ponder.data.identify.train runs/data/packaged/text.jsonl --out ponder/data/identify/languages.npz

A tenth is held out: whole groups of files, the same in all languages, so that no held-out message was seen in
training, be it in another language. Lines that stand in two languages say nothing and are left out.
"""

import argparse
import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np

from ponder.data.document import Document
from ponder.data.identify.identifier import BITS, Identifier, features
from ponder.data.linear.model import Example, Linear

SHORTEST, LONGEST = 20, 300
"""Characters of a piece that is learned from."""
LINE = 12
"""Characters of a line that counts."""

Lines = list[list[str]]
"""Of each document of a language."""


def group(document: Document) -> str:
    """What is translated together: a folder of messages, or one catalogue or page in all languages."""
    path, _, number = document.origin.rpartition("#")
    if path.endswith(".json"):
        return f"{document.source} {PurePosixPath(path).parent}"
    return f"{document.source} {PurePosixPath(path).name if path.endswith('.mo') else number}"


def held_out(document: Document) -> bool:
    return hashlib.sha256(group(document).encode()).digest()[0] < 26


def read(paths: Iterable[Path]) -> tuple[dict[str, Lines], dict[str, Lines]]:
    """(to learn from, held out), by language."""
    documents = list(_documents(paths))
    languages: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        for line in document.text.split("\n"):
            languages[line].add(document.language)
    train: dict[str, Lines] = defaultdict(list)
    kept: dict[str, Lines] = defaultdict(list)
    for document in documents:
        lines = [x for x in document.text.split("\n") if len(x) >= LINE and len(languages[x]) == 1]
        (kept if held_out(document) else train)[document.language].append(lines)
    learned = {line for texts in train.values() for lines in texts for line in lines}
    unseen = {code: [[x for x in lines if x not in learned] for lines in texts] for code, texts in kept.items()}
    return dict(train), unseen


def _documents(paths: Iterable[Path]) -> Iterator[Document]:
    decoder = msgspec.json.Decoder(Document)
    for path in paths:
        with path.open("rb") as file:
            yield from (document for document in map(decoder.decode, file) if document.language)


def pieces(texts: Lines, rng: random.Random, shortest: int = SHORTEST, longest: int = LONGEST) -> Iterator[str]:
    """All of it, in pieces of random length."""
    piece, size = "", rng.randint(shortest, longest)
    for lines in rng.sample(texts, len(texts)):
        for line in lines:
            piece = f"{piece} {line}" if piece else line
            while len(piece) >= size:
                yield piece[:size]
                piece, size = piece[size:], rng.randint(shortest, longest)


def learn(train: Mapping[str, Lines], each: int, passes: int, rate: float, seed: int = 0) -> Identifier:
    """each: pieces of a language in a pass, so that every language counts alike; of a small one they come again."""
    codes = sorted(code for code, texts in train.items() if any(pieces(texts, random.Random(seed))))
    model, rng = Linear.zeros(BITS, len(codes)), random.Random(seed)
    for number in range(passes):
        drawn = [(n, text) for n, code in enumerate(codes) for text in _drawn(train[code], each, rng)]
        rng.shuffle(drawn)
        loss = model.learn((Example(features(text), n) for n, text in drawn), len(drawn), rate / (number + 1))
        print(f"pass {number + 1}: {len(drawn):,} pieces, loss {loss:.4f}", flush=True)
    return Identifier.quantised(codes, model.weights, model.bias)


def _drawn(texts: Lines, each: int, rng: random.Random) -> list[str]:
    found: list[str] = []
    while len(found) < each:
        found += pieces(texts, rng)
    return rng.sample(found, each)


def accuracy(
    identifier: Identifier, texts: Iterable[tuple[str, str]]
) -> tuple[dict[str, float], Counter[tuple[str, str]]]:
    """texts: (language, text). The share of right guesses by language, and how often one was taken for another."""
    all_, confused = Counter[str](), Counter[tuple[str, str]]()
    for language, text in texts:
        all_[language] += 1
        confused[language, identifier.guess(text).language] += 1
    return {code: confused[code, code] / n for code, n in all_.items()}, confused


def calibrated(identifier: Identifier, texts: Iterable[tuple[str, str]]) -> Identifier:
    """With probabilities that are right as often as they say: a few passes end before the weights are large enough.
    texts: (language, text), none of which was learned from."""
    scores, labels = [], []
    for language, text in texts:
        found = identifier.scores(text)
        if found is not None:
            scores.append(found)
            labels.append(identifier.numbers[language])

    def loss(factor: float) -> float:
        scaled = np.array(scores) * factor
        scaled -= scaled.max(1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels]).mean())

    return identifier.scaled(min((1.15**n for n in range(-10, 30)), key=loss))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=1500)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.5)
    args = parser.parse_args(arguments)
    train, unseen = read(args.texts)
    identifier = learn(train, args.each, args.passes, args.rate)
    rng = random.Random(0)
    tests = [(code, piece) for code, texts in unseen.items() for piece in list(pieces(texts, rng, 60))[:100]]
    identifier = calibrated(identifier, tests)
    identifier.save(args.out)
    right, confused = accuracy(identifier, tests)
    print(f"{len(identifier.codes)} languages, {args.out.stat().st_size / 1e6:.1f} MB; held out, of {len(right)}: "
          f"macro accuracy {sum(right.values()) / len(right):.4f}")  # fmt: skip
    for (code, other), n in [pair for pair in confused.most_common() if pair[0][0] != pair[0][1]][:40]:
        print(f"  {code} taken for {other}: {n}")


if __name__ == "__main__":
    main()
