"""Leaving out the oldest turns of a conversation that does not fit, for a request that asks for it (LC-1).

    shortened(messages, fits)

Nothing is cut without being asked to, and never inside a turn: a turn is a user's message and everything up to the next
one, so a tool's result never loses its call. System messages stay, wherever they stand, and so does the last turn.
"""

from collections.abc import Callable, Sequence

from ponder.core.message import Message

Messages = tuple[Message, ...]


def truncated(messages: Sequence[Message], fits: Callable[[Messages], bool]) -> Messages:
    """Messages that do not fit, without as many of the oldest turns as must go; the last turn stays even if it does not
    fit either. fits: renders and counts, so short conversations are tried before long ones."""
    starts = [n for n, message in enumerate(messages) if message.role == "user"]
    if len(starts) < 2:
        return tuple(messages)

    def since(turn: int) -> Messages:
        begin = starts[turn]
        return (*(m for m in messages[:begin] if m.role == "system"), *messages[begin:])

    good, step = len(starts) - 1, 1
    while good - step > 0 and fits(since(good - step)):
        good, step = good - step, 2 * step
    bad = max(good - step, 0)  # all turns do not fit
    while good - bad > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(since(middle)) else (good, middle)
    return since(good)
