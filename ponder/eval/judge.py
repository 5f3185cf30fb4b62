"""Open answers judged by a model, in pairs: which of two replies to a request is better.

Each pair is shown in both orders; what the judge says counts half for each, so that a liking for the first place cannot
win. A verdict that is none is asked for again, and then the pair is not judged: it is counted, and never a tie.
"""

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from msgspec import Struct, structs

from ponder.core.errors import UserError
from ponder.core.event import Finish, Usage
from ponder.core.message import Message
from ponder.core.params import SamplingParams, Thinking
from ponder.core.protocol import ChatModel
from ponder.core.request import ChatRequest
from ponder.eval.grade import reply_parts
from ponder.eval.statistics import Estimate, estimate

Winner = Literal["first", "second", "tie"]
ASK = """\
Here are a request and two replies to it. Judge which reply is better: how well it does what is asked, whether what it
says is true, and how well it reads. Its length and its place are no reasons.

[Request]
{request}

[Reply 1]
{first}

[Reply 2]
{second}

Answer with JSON alone: {{"better": 1}}, {{"better": 2}} or {{"better": 0}} if neither is."""
VERDICT = re.compile(r'\{\s*"better"\s*:\s*([012])\s*\}')
ATTEMPTS = 3
WINNERS: tuple[Winner, Winner, Winner] = ("tie", "first", "second")


class Pair(Struct, frozen=True):
    """Two replies to one request: of the model that is judged, and of the one it is compared with."""

    id: str
    request: str
    reply: str
    other: str


class Judged(Struct, frozen=True):
    """orders: what was said with the reply in first place, and in second, None where no verdict came. points: 1 won, 0
    lost, None where an order has no verdict."""

    id: str
    orders: tuple[Winner | None, Winner | None]

    @property
    def points(self) -> float | None:
        here, turned = self.orders
        if here is None or turned is None:
            return None
        return ({"first": 1.0, "tie": 0.5, "second": 0.0}[here] + {"first": 0.0, "tie": 0.5, "second": 1.0}[turned]) / 2


class Judgement(Struct, frozen=True, kw_only=True):
    """win_rate: mean points over the judged pairs. consistent: share of them with one verdict in both orders. first:
    share of all verdicts for the first place, 0.5 for a judge that does not care. usage: tokens that the judge took."""

    win_rate: Estimate
    judged: int
    not_judged: int
    consistent: float
    first: float
    usage: Usage
    pairs: tuple[Judged, ...]


def judge(
    model: ChatModel,
    pairs: Sequence[Pair],
    *,
    seed: int = 0,
    in_flight: int = 16,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Judgement:
    """Raises UserError for no pair."""
    if not pairs:
        raise UserError("there is no pair to judge: both results need answers to the same problems")
    found: list[Judged] = []
    usage = Usage()
    with ThreadPoolExecutor(in_flight, thread_name_prefix="judge") as pool:
        for one, cost in pool.map(lambda pair: _both(model, pair, seed), pairs):
            found.append(one)
            usage += cost
            tick(len(found), len(pairs))
    points = [one.points for one in found if one.points is not None]
    firsts = [order for one in found for order in one.orders if order in ("first", "second")]
    return Judgement(
        win_rate=estimate(points),
        judged=len(points),
        not_judged=len(found) - len(points),
        consistent=sum(
            p in (0.0, 1.0) or one.orders == ("tie", "tie") for one in found if (p := one.points) is not None
        )
        / max(1, len(points)),
        first=firsts.count("first") / max(1, len(firsts)),
        usage=usage,
        pairs=tuple(found),
    )


def _both(model: ChatModel, pair: Pair, seed: int) -> tuple[Judged, Usage]:
    here, one = _verdict(model, pair.request, pair.reply, pair.other, seed)
    turned, other = _verdict(model, pair.request, pair.other, pair.reply, seed)
    return Judged(pair.id, (here, turned)), one + other


def _verdict(model: ChatModel, request: str, first: str, second: str, seed: int) -> tuple[Winner | None, Usage]:
    usage = Usage()
    text = ASK.format(request=request, first=first, second=second)
    asked = ChatRequest(messages=(Message.user(text),), sampling=SamplingParams(seed=seed), thinking=Thinking())
    for attempt in range(ATTEMPTS):
        events = list(model.stream(structs.replace(asked, sampling=SamplingParams(seed=seed + attempt))))
        finish = events[-1]
        assert isinstance(finish, Finish)
        usage += finish.usage
        verdicts = set(VERDICT.findall(reply_parts(events)[1]))
        if len(verdicts) == 1:
            return WINNERS[int(verdicts.pop())], usage
    return None, usage


def summary(judgement: Judgement) -> str:
    """For people, and for programs as its last line."""
    win = judgement.win_rate
    rate = "no pair was judged" if win.value is None else f"wins {100 * win.value:.1f} %"
    facts = {
        "judged": judgement.judged,
        "not judged": judgement.not_judged,
        "tokens read": judgement.usage.prompt_tokens,
        "tokens written": judgement.usage.completion_tokens,
    }
    interval = "" if win.low is None or win.high is None else f" [{100 * win.low:.1f}, {100 * win.high:.1f}]"
    orders = (
        f"{100 * judgement.consistent:.0f} % the same in both orders, {100 * judgement.first:.0f} % for the first place"
    )
    return f"{rate}{interval}; {orders}\n{json.dumps(facts)}\n"
