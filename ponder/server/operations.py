"""What programs can ask over HTTP, a row for each path and method: the routes and /openapi.json are made of it.

The body of a request is the one that the handler's signature names.
"""

from itertools import groupby
from typing import Any, NamedTuple, get_args, get_type_hints

from msgspec import Struct
from starlette.routing import Route

from ponder.server.api import requests
from ponder.server.api.anthropic import messages
from ponder.server.api.anthropic.messages_reply import MessageReply, TokenCount
from ponder.server.api.llamacpp import tokens
from ponder.server.api.llamacpp.completion import LlamaReply, completion, infill
from ponder.server.api.llamacpp.props import Props, props
from ponder.server.api.llamacpp.rerank import Reranked, rerank
from ponder.server.api.llamacpp.slots import slots
from ponder.server.api.llamacpp.tokens import DetokenizeReply, TemplateReply, TokenizeReply
from ponder.server.api.ollama import chat, manage
from ponder.server.api.ollama import models as ollama_models
from ponder.server.api.ollama.chat_reply import OllamaChat, OllamaGenerate
from ponder.server.api.ollama.models import OllamaModels, OllamaStatus, OllamaVersion
from ponder.server.api.ollama.show import OllamaShow
from ponder.server.api.openai import embeddings, models
from ponder.server.api.openai.chat import chat_completions
from ponder.server.api.openai.completions import completions
from ponder.server.api.openai.completions_reply import Completion
from ponder.server.api.openai.embeddings import (
    Embeddings,
    OllamaEmbeddings,
    OllamaOldEmbedding,
)
from ponder.server.api.openai.models import OfferedModel, OfferedModels
from ponder.server.api.openai.response_routes import input_items, stored_response
from ponder.server.api.openai.responses import responses
from ponder.server.api.openai.structs.chat import ChatCompletion
from ponder.server.api.openai.structs.responses import InputItems, ResponseDeleted, ResponseReply
from ponder.server.api.requests import RunningReply
from ponder.server.api.usage import UsageReply, usage
from ponder.server.runtime.endpoint import Handler
from ponder.server.runtime.health import Health, Live, health, live
from ponder.server.runtime.metrics import metrics

SSE, LINES, TEXT = "text/event-stream", "application/x-ndjson", "text/plain"


class Operation(NamedTuple):
    """reply: what its JSON is made from; None for other replies. streams: the content type of the reply when the body
    says `stream`."""

    method: str
    route: str
    handler: Handler
    summary: str
    reply: type[Struct] | None
    streams: str = ""
    query: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return self.route.replace(":path", "")

    @property
    def body(self) -> type[Struct] | None:
        """What the handler reads; None when it takes no body."""
        incoming: Any = get_type_hints(self.handler).get("incoming")
        return get_args(incoming)[0] if incoming else None


OPERATIONS = (
    Operation("post", "/v1/chat/completions", chat_completions, "Chat, as OpenAI's", ChatCompletion, SSE),
    Operation("post", "/v1/responses", responses, "Chat as a list of items, as OpenAI's", ResponseReply, SSE),
    Operation("get", "/v1/responses/{id}", stored_response, "A reply that was kept", ResponseReply, query=("stream",)),
    Operation("delete", "/v1/responses/{id}", stored_response, "Forget a reply", ResponseDeleted),
    Operation(
        "get",
        "/v1/responses/{id}/input_items",
        input_items,
        "The input of a kept reply, in pages",
        InputItems,
        query=("after", "limit", "order"),
    ),
    Operation("post", "/v1/completions", completions, "Continue raw prompts", Completion, SSE),
    Operation("post", "/v1/embeddings", embeddings.embeddings, "Texts as vectors", Embeddings),
    Operation("post", "/v1/rerank", rerank, "Documents by how well they fit, as Jina's", Reranked),
    Operation("get", "/v1/models", models.models, "The models that are offered", OfferedModels),
    Operation("get", "/v1/models/{name:path}", models.model, "One of them", OfferedModel),
    Operation("post", "/v1/messages", messages.messages, "Chat, as Anthropic's", MessageReply, SSE),
    Operation("post", "/v1/messages/count_tokens", messages.count_tokens, "The length of the prompt", TokenCount),
    Operation("post", "/api/chat", chat.chat, "Chat, as Ollama's", OllamaChat, LINES),
    Operation("post", "/api/generate", chat.generate, "One prompt, as Ollama's", OllamaGenerate, LINES),
    Operation("post", "/api/embed", embeddings.embed, "Texts as vectors, as Ollama's", OllamaEmbeddings),
    Operation("post", "/api/embeddings", embeddings.old_embed, "Ollama's older form", OllamaOldEmbedding),
    Operation("get", "/api/tags", ollama_models.tags, "The models that are offered", OllamaModels),
    Operation("get", "/api/ps", ollama_models.ps, "Those that are loaded", OllamaModels),
    Operation("post", "/api/show", ollama_models.show, "What is known of a model", OllamaShow),
    Operation("get", "/api/version", ollama_models.version, "Versions", OllamaVersion),
    Operation("post", "/api/pull", ollama_models.pull, "Download a model", OllamaStatus, LINES),
    Operation("delete", "/api/delete", manage.delete, "Remove a download", None),
    Operation("post", "/tokenize", tokens.tokenize, "A text or a chat as token ids", TokenizeReply),
    Operation("post", "/detokenize", tokens.detokenize, "Token ids as text", DetokenizeReply),
    Operation("post", "/apply-template", tokens.apply_template, "The prompt of a chat as text", TemplateReply),
    Operation("post", "/completion", completion, "Continue a raw prompt, as llama.cpp's", LlamaReply, SSE),
    Operation("post", "/infill", infill, "Fill in between two texts, as llama.cpp's", LlamaReply, SSE),
    Operation("get", "/slots", slots, "What is being computed", None, query=("model", "fail_on_no_slot")),
    Operation("get", "/props", props, "Defaults in force, and their source", Props, query=("model",)),
    Operation("get", "/v1/usage", usage, "What the asker has used, by day; an admin sees all", UsageReply),
    Operation("get", "/health", health, "503 when a step hangs", Health),
    Operation("get", "/live", live, "200 while the process is there", Live),
    Operation("get", "/metrics", metrics, "Prometheus counters", None, TEXT),
    Operation(
        "post", "/v1/requests/{id}/answer-now", requests.answer_now, "End the thoughts of a request", RunningReply
    ),
    Operation("post", "/v1/requests/{id}/cancel", requests.cancel, "End a request", RunningReply),
)


LLAMA_NAMES = {
    "/chat/completions": "/v1/chat/completions",
    "/completions": "/completion",
    "/models": "/v1/models",
    "/rerank": "/v1/rerank",
    "/reranking": "/v1/rerank",
    "/v1/reranking": "/v1/rerank",
    "/v1/health": "/health",
}
"""What llama.cpp's server answers to, too."""


def routes() -> list[Route]:
    """A route for each path: a method that it does not have is a 405 which names those that it has."""
    by_path = groupby(OPERATIONS, lambda o: (o.route, o.handler))
    own = [Route(route, handler, methods=[o.method for o in of]) for (route, handler), of in by_path]
    named = {route.path: route for route in own}
    return own + [Route(name, named[path].endpoint, methods=named[path].methods) for name, path in LLAMA_NAMES.items()]
