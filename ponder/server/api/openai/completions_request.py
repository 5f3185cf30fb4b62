"""The body of POST /v1/completions -> prompts and `SamplingParams`."""

from typing import Annotated, Any

from msgspec import Meta, structs

from ponder.core.errors import UserError
from ponder.core.params import SamplingParams, Thinking
from ponder.server.api import thinking_params
from ponder.server.api.openai import chat_request
from ponder.server.api.openai.chat_request import SamplingBody, StreamOptions
from ponder.server.api.thinking_params import ThinkingBody

MAX_PROMPTS = 128
Prompt = str | list[int]


class CompletionBody(SamplingBody, frozen=True, kw_only=True):
    prompt: str | list[Any]
    model: str = ""
    max_tokens: int | None = 16  # OpenAI's default
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    echo: bool = False
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    best_of: int | None = None
    suffix: str | None = None
    allow_special_tokens: bool = True
    user: str | None = None


def is_ids(raw: Any) -> bool:
    """A list of numbers; true and false are none."""
    return isinstance(raw, list) and all(type(i) is int for i in raw)


def prompts_of(body: CompletionBody) -> list[Prompt]:
    """A text, a list of ids, or a list of either. Raises UserError."""
    raw = body.prompt
    if isinstance(raw, str) or (raw and is_ids(raw)):
        return [raw]
    good = [p for p in raw if isinstance(p, str) or is_ids(p)]
    if not raw or len(good) < len(raw):
        raise UserError("prompt is a text, a list of token ids, or a list of these", param="prompt")
    if len(raw) > MAX_PROMPTS:
        raise UserError(f"prompt: at most {MAX_PROMPTS} prompts in one request, got {len(raw)}", param="prompt")
    return good


def scores_only(body: CompletionBody) -> bool:
    """Nothing is to be generated: the prompt comes back, with its log-probabilities if these are asked for."""
    return body.echo and body.max_tokens == 0


def thinking_of(body: ThinkingBody) -> Thinking:
    """A budget holds for thoughts after a raw prompt too. Whether there are any, its text says: an open block, or an
    empty one. Raw text may repeat itself. Raises UserError."""
    switches, budgets = thinking_params.switches_and_budgets(body)
    others = ("tool_in_thinking", "show_handover")
    names = [switch.field for switch in switches] + [name for name in others if getattr(body, name) is not None]
    if names:
        text = (
            f"{names[0]}: a raw prompt has no switch and no tools, and its reply is one text; use "
            "/v1/chat/completions, or write it in the prompt"
        )
        raise UserError(text, param=names[0])
    return structs.replace(thinking_params.resolve((), budgets), loop_guard=False)


def sampling_of(body: CompletionBody) -> SamplingParams:
    if body.suffix and body.echo:
        raise UserError(
            "echo: a prompt with a suffix is no beginning of its answer; leave one of them out", param="echo"
        )
    if body.best_of not in (None, body.n):
        raise UserError("best_of is not supported; use n", param="best_of")
    return chat_request.sampling_of(
        body, max_tokens=1 if scores_only(body) else body.max_tokens, logprobs=body.logprobs
    )
