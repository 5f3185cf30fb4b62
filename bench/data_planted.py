"""What is planted into real text is found: copies with changes, and items of tests; and how often something else is.

    python bench/data_planted.py runs/data/packaged/text.jsonl --held-out gsm8k-test.jsonl --documents 2000

Copies: each document again, with words exchanged for words of other documents, so that their similarity (Jaccard, of
pieces of five characters) lies on either side of 0.8. Items: each in a document, in another case and with other marks
of punctuation. False alarms are counted on the documents as they are.
"""

import argparse
import json
import random
from pathlib import Path

import msgspec

from ponder.data.document import Document
from ponder.data.steps.contamination import HeldOut, Item
from ponder.data.steps.duplicates import Duplicates, evened, jaccard, shingles


def changed(rng: random.Random, text: str, words: list[str]) -> str:
    parts = text.split(" ")
    for n in rng.sample(range(len(parts)), round(len(parts) * rng.uniform(0, 0.16))):
        parts[n] = rng.choice(words)
    return " ".join(parts)


def copies(texts: list[str], rng: random.Random) -> str:
    words = [word for text in texts for word in text.split(" ")]
    seen = Duplicates(0.8)
    originals = [text for n, text in enumerate(texts) if seen.earlier(f"o{n}", text) is None]
    names = {f"o{n}": text for n, text in enumerate(texts)}
    alike = found = told = right = exact = 0
    for n, text in enumerate(originals):
        copy = changed(rng, text, words)
        similarity = jaccard(shingles(evened(copy)), shingles(evened(text)))
        earlier = seen.earlier(f"c{n}", copy)
        alike += similarity >= 0.8
        found += similarity >= 0.8 and earlier is not None
        told += earlier is not None
        if earlier is not None:
            other = names.get(earlier, copy)
            right += jaccard(shingles(evened(copy)), shingles(evened(other))) >= 0.8
        exact += seen.earlier(f"e{n}", text.replace(" ", "  ").replace("1", "7")) is not None
    return (
        f"| near copies, similarity 0.8 or more | {alike:,} | {found / alike:.2%} | {right / told:.2%} of {told:,} |\n"
        f"| equal copies, with other blanks and digits | {len(originals):,} | {exact / len(originals):.2%} | |"
    )


def tests(texts: list[str], items: list[Item], rng: random.Random) -> str:
    held_out = HeldOut({"test": items})
    alarms = [hit for text in texts if (hit := held_out.found(text)) is not None]
    found = 0
    for item in items:
        document = rng.choice(texts)
        words = [
            rng.choice([str.upper, str.lower])(word) + rng.choice(["", ",", " -"]) for word in item.question.split()
        ]
        at = rng.randrange(len(document) + 1)
        found += held_out.found(f"{document[:at]}\n{' '.join(words)}\n{item.answer}\n{document[at:]}") is not None
    shown = "".join(f"\n    false alarm: {hit.words}" for hit in alarms[:5])
    return (
        f"| items of a test | {len(items):,} | {found / len(items):.2%} | "
        f"false alarms: {len(alarms)} of {len(texts):,} documents, {len(alarms) / len(texts):.3%} |{shown}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--question", default="question")
    parser.add_argument("--answer", default="answer")
    parser.add_argument("--documents", type=int, default=2000)
    args = parser.parse_args()
    rng = random.Random(0)
    with args.text.open("rb") as file:
        texts = [document.text for document in map(msgspec.json.Decoder(Document).decode, file)]
    rows = [json.loads(line) for line in args.held_out.read_text("utf-8").splitlines()]
    items = [Item(row[args.question], str(row.get(args.answer, ""))) for row in rows]
    print("| planted | how many | found | right |\n|---|---|---|---|")
    print(copies(rng.sample(texts, min(args.documents, len(texts))), rng), flush=True)
    print(tests(texts, items, rng))


if __name__ == "__main__":
    main()
