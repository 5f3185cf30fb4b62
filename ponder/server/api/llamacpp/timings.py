"""How long a reply took, in the form in which llama.cpp's server tells it."""

from collections.abc import Iterable

from ponder.core.event import Usage
from ponder.engine.scheduling.handle import Handle
from ponder.server.http.reply import JsonReply


class Timings(JsonReply):
    """n: tokens, of which cache_n of the prompt were not computed. predicted: of all choices together."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


def timings_of(handle: Handle, usage: Usage, choices: Iterable[int] = (0,)) -> Timings:
    """usage: of one of the choices that are meant."""
    all_ = [handle.timings(choice) for choice in choices]
    first = min((t.first_id for t in all_ if t.first_id), default=0.0)
    read = max(0.0, first - all_[0].admitted) * 1000 if first else 0.0
    wrote = max(0.0, max(t.finished for t in all_) - first) * 1000 if first else 0.0
    prompt, predicted = usage.prompt_tokens - usage.cached_tokens, sum(t.generated for t in all_)
    return Timings(
        cache_n=usage.cached_tokens,
        prompt_n=prompt,
        prompt_ms=read,
        prompt_per_token_ms=read / prompt if prompt else 0.0,
        prompt_per_second=1000 * prompt / read if read else 0.0,
        predicted_n=predicted,
        predicted_ms=wrote,
        predicted_per_token_ms=wrote / predicted if predicted else 0.0,
        predicted_per_second=1000 * predicted / wrote if wrote else 0.0,
    )
