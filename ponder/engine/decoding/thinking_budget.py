"""The thinking budget of one sequence: how many ids a block may have, and the sentence that ends it.

Numbers of one request with `max_tokens` M and hand-over length H (24 in the "docs" form):
    answer share   max(M // 4, min(256, M // 2))          ids that thoughts and hand-over never take (TB-3)
    limit          min(budget, M - share - H - ids so far)  sampled ids inside the block
    room           M - ids so far >= H + 1                 whether a hand-over and one answer id fit at all
`<think>` itself is not counted, and ids of a block that the prompt opened count 0.
"""

from functools import lru_cache
from typing import Literal

from ponder.core.event import Handover
from ponder.text.tokenizer.tokenizer import Tokenizer

SENTENCE = "Considering the limited time by the user, I have to give the solution based on the thinking directly now.\n"


@lru_cache(maxsize=8)
def handover_ids(tokenizer: Tokenizer, form: Literal["docs", "paper"]) -> tuple[int, ...]:
    """The published hand-over as ids: the documentation's form, or the report's with its dot after the tag."""
    assert tokenizer.end_think is not None, "a vocabulary without </think> has no block to hand over"
    before, after = ("\n\n", "\n\n") if form == "docs" else ("", ".\n\n")
    return (*tokenizer.encode(before + SENTENCE), tokenizer.end_think, *tokenizer.encode(after))


def answer_share(max_tokens: int) -> int:
    """Ids of `max_tokens` that are kept for the answer (TB-3)."""
    return max(max_tokens // 4, min(256, max_tokens // 2))


class ThinkingBudget:
    """What one open block may still use. Made when the block opens; `spend` once per sampled id inside it."""

    def __init__(self, budget: int | None, max_tokens: int, used: int, handover: int) -> None:
        """used: ids generated so far, `<think>` included. handover: length of the hand-over."""
        share = max(0, max_tokens - answer_share(max_tokens) - handover - used)
        self.room = max_tokens - used >= handover + 1
        if not self.room:  # no hand-over is possible: the block may fill max_tokens, but never pass its budget
            share = max_tokens - used
        self.reason: Handover = "budget" if budget is not None and budget <= share else "max_tokens"
        self.left = share if budget is None else min(budget, share)
        self.spent = 0

    def spend(self) -> None:
        self.left -= 1
        self.spent += 1
