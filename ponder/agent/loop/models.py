"""From a description of a model to a `ChatModel`: the one place of this room that knows the engine.

chat_model("qwen3:0.6b")                                       # in this process
chat_model({"model": "qwen3:8b", "model_server": "http://localhost:8000/v1", "api_key": "EMPTY"})
"""

from typing import Any

from ponder.agent.loop.untagged_replies import UntaggedReplies
from ponder.core.errors import UserError
from ponder.core.protocol import ChatModel

LOCAL = ("", "local", "ponder")


def chat_model(llm: "str | dict[str, Any] | ChatModel") -> ChatModel:
    """llm: a model that is ready, a name, or Qwen-Agent's dict: model, model_server (or base_url, api_base), api_key,
    and for the local engine the options of `ponder.LLM`. Raises UserError for what it does not know."""
    if not isinstance(llm, str | dict):
        return llm
    given = {"model": llm} if isinstance(llm, str) else {k: v for k, v in llm.items() if k != "generate_cfg"}
    model = given.pop("model", None)
    given.pop("model_type", None)
    servers = [given.pop(k) for k in ("model_server", "base_url", "api_base") if k in given]
    server = next((s for s in servers if s), "")
    key = given.pop("api_key", None)
    if server == "dashscope":
        raise UserError("dashscope is not spoken here; give its OpenAI-compatible URL as model_server", param="llm")
    if server not in LOCAL:
        from ponder.engine.remote import RemoteModel

        remote: ChatModel = RemoteModel(server, model=model, api_key=key, **given)
        return remote
    from ponder.engine.llm import LLM

    return for_tools(LLM(model, **given))


def for_tools(model: ChatModel) -> ChatModel:
    """A model as agents want it. Qwen2.5 and its Coder, which know no thoughts, write calls without the tags."""
    return UntaggedReplies(model) if model.abilities.untagged_calls else model
