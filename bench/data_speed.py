"""Speed of the steps of `ponder data` beside datatrove, datasketch and rensa, on the same documents, by CPU time.

    pip install datatrove orjson datasketch rensa
    python bench/data_speed.py runs/data/packaged/text.jsonl --documents 1500

The sides take turns with a few hundred documents each, so that other programs disturb all alike. datatrove's filters
split words at blanks here (`str.split`), which is faster than the spaCy tokenizer that they have by default; without
that, they would need one for each language. Prints one table.
"""

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

from ponder.data.document import Document
from ponder.data.identify.identifier import Identifier
from ponder.data.steps.contamination import HeldOut, Item
from ponder.data.steps.duplicates import Duplicates, bands_of, evened, shingles
from ponder.data.steps.lines import SharedLines
from ponder.data.steps.mend import mend
from ponder.data.steps.quality import Rules, fault
from ponder.data.steps.scrub import scrub

TURN = 150
"""Documents of a turn."""
Work = Callable[[list[str]], object]


def own() -> dict[str, tuple[str, Work]]:
    """Name -> (kind of work, the work)."""
    rules, identifier, duplicates = Rules(), Identifier.packaged(), Duplicates(0.8)
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(3000)]
    held_out = HeldOut({"set": [Item(" ".join(rng.choices(words, k=60))) for _ in range(1500)]})
    lines, numbers = SharedLines(10), iter(range(10**9))
    return {
        "mend": ("mend", lambda texts: [mend(text) for text in texts]),
        "judge": ("filters", lambda texts: [fault(text, rules) for text in texts]),
        "identify": ("identify", lambda texts: [identifier.guess(text) for text in texts]),
        "held-out tests (1,500 items)": ("contamination", lambda texts: [held_out.found(text) for text in texts]),
        "scrub": ("scrub", lambda texts: [scrub(text, {}) for text in texts]),
        "count lines": ("lines", lambda texts: [lines.count(text) for text in texts]),
        "MinHash of 128": ("minhash", lambda texts: [bands_of(shingles(evened(text))) for text in texts]),
        "repeated documents, decided": (
            "dedup",
            lambda texts: [duplicates.earlier(str(next(numbers)), t) for t in texts],
        ),
    }


def peers() -> dict[str, tuple[str, Work]]:
    from datatrove.data import Document as Parcel
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.utils.hashing import HashConfig

    class AtBlanks:
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

    class Known:
        def __call__(self, language: str) -> AtBlanks:
            return AtBlanks()

    import datatrove.pipeline.dedup.minhash as minhash
    import datatrove.pipeline.filters.fineweb_quality_filter as fineweb
    import datatrove.pipeline.filters.gopher_quality_filter as gopher
    import datatrove.pipeline.filters.gopher_repetition_filter as repetition

    for module in (fineweb, gopher, repetition):
        module.split_into_words = lambda text, language: text.split()
    minhash.load_word_tokenizer = Known()
    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(stop_words=[], min_stop_words=None),
        FineWebQualityFilter(),
    ]
    signature = MinhashDedupSignature(
        tempfile.mkdtemp(), MinhashConfig(num_buckets=32, hashes_per_bucket=4, hash_config=HashConfig(hash_fc="sha1"))
    )
    formatter = PIIFormatter()

    def judged(texts: list[str]) -> list[bool]:
        """As a pipeline does: who fails one filter does not see the next."""
        parcels = [Parcel(text=text, id="") for text in texts]
        return [all(each.filter(parcel) is True for each in filters) for parcel in parcels]

    def hashed(texts: list[str]) -> None:
        for text in texts:
            found = signature.get_shingles(text)
            if found.size:
                signature.get_signature(found)

    return {
        "datatrove: Gopher repetition and quality, FineWeb": ("filters", judged),
        "datatrove: PII formatter": ("scrub", lambda texts: [formatter.format(text) for text in texts]),
        "datatrove: MinHash of 128, 5 words": ("minhash", hashed),
        **sketches(),
    }


def sketches() -> dict[str, tuple[str, Work]]:
    import rensa
    from datasketch import MinHash, MinHashLSH

    index, numbers = MinHashLSH(threshold=0.8, num_perm=128), iter(range(10**9))

    def pieces(text: str) -> list[str]:
        text = " ".join(text.casefold().split())
        return [text[n : n + 5] for n in range(len(text) - 4)]

    def sketched(text: str) -> MinHash:
        found = MinHash(num_perm=128)
        found.update_batch([piece.encode() for piece in set(pieces(text))])
        return found

    def remembered(texts: list[str]) -> None:
        for text in texts:
            found = sketched(text)
            if not index.query(found):
                index.insert(str(next(numbers)), found)

    def rusty(texts: list[str]) -> None:
        for text in texts:
            each = rensa.RMinHash(num_perm=128, seed=42)
            each.update(pieces(text))
            each.digest()

    return {
        "datasketch: MinHash of 128, 5 characters": ("minhash", lambda texts: [sketched(text) for text in texts]),
        "rensa: MinHash of 128, 5 characters": ("minhash", rusty),
        "datasketch: MinHash and LSH, not decided": ("dedup", remembered),
    }


def measured(texts: list[str], work: dict[str, tuple[str, Work]]) -> dict[str, float]:
    """CPU-seconds of each."""
    seconds: dict[str, float] = defaultdict(float)
    for _, each in work.values():
        each(texts[:5])  # tables are made at the first use
    for start in range(0, len(texts), TURN):
        for name, (_, each) in work.items():
            began = time.process_time()
            each(texts[start : start + TURN])
            seconds[name] += time.process_time() - began
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument("--alone", action="store_true", help="without the others, which are not installed")
    args = parser.parse_args()
    with args.text.open("rb") as file:
        texts = [document.text for document in map(msgspec.json.Decoder(Document).decode, file)]
    texts = random.Random(0).sample(texts, min(args.documents, len(texts)))
    size = sum(len(text.encode()) for text in texts) / 1e6
    work = own() | ({} if args.alone else peers())
    seconds = measured(texts, work)
    print(
        f"{len(texts):,} documents, {size:.1f} MB\n\n| work | documents a CPU-second | MB a CPU-second |\n|---|---|---|"
    )
    for kind in dict.fromkeys(kind for kind, _ in work.values()):
        for name, (of, _) in work.items():
            if of == kind:
                print(f"| {name} | {len(texts) / seconds[name]:,.0f} | {size / seconds[name]:,.1f} |")


if __name__ == "__main__":
    main()
