"""chrF: how near a translation is to a reference, by n-grams of letters (Popović 2015; as sacreBLEU computes chrF2).

F = (1 + β²) P R / (β² P + R) with β = 2; P and R are means over the orders 1 to 6 of the share of n-grams that the
other text has, blanks left out. 0 to 1."""

from collections import Counter

ORDER = 6
BETA = 2


def chrf(text: str, reference: str) -> float:
    ours, theirs = "".join(text.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, ORDER + 1):
        mine, wanted = _grams(ours, n), _grams(theirs, n)
        if not mine or not wanted:
            continue  # an order that one of them is too short for does not count
        shared = (mine & wanted).total()
        precisions.append(shared / mine.total())
        recalls.append(shared / wanted.total())
    if not precisions:
        return 0.0
    p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return (1 + BETA**2) * p * r / (BETA**2 * p + r) if p + r else 0.0


def _grams(text: str, n: int) -> Counter[str]:
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))
