"""What holds where a request does not say: the server's switch for thinking, and its budget (TH-5)."""

from msgspec import structs

from ponder.core.params import Thinking
from ponder.core.request import ChatRequest
from ponder.server.runtime.pool import Model


def with_defaults(request: ChatRequest, llm: Model, server: Thinking) -> ChatRequest:
    """server: what the operator chose.

    Its switch is for a request that says nothing of thinking, its budget for one without a budget: a request that only
    asks for thoughts is still bounded. A model that cannot switch, or cannot think, is not asked to: the request did
    not say so. What a call in the thoughts is holds for every request that does not say.
    """
    enabled, budget = request.thinking.enabled, request.thinking.budget
    can = llm.abilities.capability
    if enabled is None and budget is None and can == "hybrid":
        enabled = server.enabled
    if budget is None and (can == "thinking" or (can == "hybrid" and enabled is not False)):
        budget = server.budget
    close = request.thinking.tool_in_thinking or server.tool_in_thinking
    thinking = structs.replace(request.thinking, enabled=enabled, budget=budget, tool_in_thinking=close)
    return structs.replace(request, thinking=thinking)
