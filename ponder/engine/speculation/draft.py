"""A draft with what speaks for it, and how much of every draft is worth computing."""

from dataclasses import dataclass, field

from ponder.engine.speculation.step_time import StepTimeModel

LONGEST_DRAFT = 8
MARGIN = 1.02  # a gain below this is not worth the risk that the estimates are off


@dataclass
class Draft:
    """ids that may come; evidence: the class of each, for `AcceptanceRate`; chances: that it and all before are
    right."""

    ids: list[int] = field(default_factory=list)
    evidence: list[int] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)

    def add(self, id_: int, evidence: int, chance: float) -> None:
        """chance: that this id is right when those before it are."""
        self.ids.append(id_)
        self.evidence.append(evidence)
        self.chances.append(self.chance * chance)

    @property
    def chance(self) -> float:
        """That all of it is right."""
        return self.chances[-1] if self.chances else 1.0


def best_lengths(drafts: list[Draft], step_times: StepTimeModel) -> tuple[list[int], float]:
    """How many ids of each draft to compute, and the ids per second to be expected then.

    The most promising ids are taken, one after the other, as long as that rate grows.
    """
    rows = len(drafts)
    lengths = [0] * rows
    plain = rows / step_times.seconds(rows)
    ids, rate, best, taken = float(rows), plain, MARGIN * plain, 0
    ranked = sorted(((chance, n) for n, draft in enumerate(drafts) for chance in draft.chances), reverse=True)
    for count, (chance, _) in enumerate(ranked, 1):
        ids += chance
        if (now := ids / step_times.seconds(rows + count)) > best:
            rate, best, taken = now, now, count
    for _, n in ranked[:taken]:
        lengths[n] += 1
    return lengths, rate
