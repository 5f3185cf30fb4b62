"""POST /v1/embeddings and Ollama's /api/embed."""

import base64
import time
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.engine.scoring.embedding import Pooling
from ponder.server.api.openai.completions_request import is_ids
from ponder.server.http.reply import JsonReply
from ponder.server.runtime.endpoint import Incoming, endpoint

MAX_TEXTS = 2048


class EmbeddingsBody(Struct, frozen=True, kw_only=True):
    input: str | list[Any]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    pooling: Pooling = "last"
    user: str | None = None


class EmbedBody(Struct, frozen=True, kw_only=True):
    model: str
    input: str | list[Any]
    dimensions: int | None = None
    truncate: bool = False
    options: dict[str, Any] | None = None
    keep_alive: str | float | None = None


class OldEmbedBody(Struct, frozen=True, kw_only=True):
    model: str
    prompt: str
    options: dict[str, Any] | None = None
    keep_alive: str | float | None = None


class EmbeddingItem(JsonReply):
    """embedding: numbers, or base64 of float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(JsonReply):
    prompt_tokens: int
    total_tokens: int


class Embeddings(JsonReply):
    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage


class OllamaEmbeddings(JsonReply):
    """Durations are in nanoseconds."""

    model: str
    embeddings: list[list[float]]
    prompt_eval_count: int
    total_duration: int
    load_duration: int


class OllamaOldEmbedding(JsonReply):
    embedding: list[float]


@endpoint(EmbeddingsBody)
async def embeddings(incoming: Incoming[EmbeddingsBody]) -> Embeddings:
    body = incoming.body
    vectors, count = await computed(incoming, body.input, body.pooling, body.dimensions)
    return Embeddings(
        object="list",
        data=[EmbeddingItem(object="embedding", index=i, embedding=_form(v, body)) for i, v in enumerate(vectors)],
        model=incoming.service.pool.find(body.model).name,
        usage=EmbeddingUsage(prompt_tokens=count, total_tokens=count),
    )


@endpoint(EmbedBody)
async def embed(incoming: Incoming[EmbedBody]) -> OllamaEmbeddings:
    body = incoming.body
    begun = time.monotonic_ns()
    async with incoming.service.pool.use(body.model):
        loaded = time.monotonic_ns()
        vectors, count = await computed(incoming, body.input, "last", body.dimensions, cut=body.truncate)
    return OllamaEmbeddings(
        model=body.model, embeddings=vectors.tolist(), prompt_eval_count=count,
        total_duration=time.monotonic_ns() - begun, load_duration=loaded - begun,
    )  # fmt: skip


@endpoint(OldEmbedBody)
async def old_embed(incoming: Incoming[OldEmbedBody]) -> OllamaOldEmbedding:
    """Ollama's older /api/embeddings: one text, one vector."""
    vectors, _ = await computed(incoming, incoming.body.prompt, "last", None)
    return OllamaOldEmbedding(embedding=vectors[0].tolist())


async def computed(
    incoming: Incoming[Any], texts: str | list[Any], pooling: Pooling, dimensions: int | None, *, cut: bool = False
) -> tuple[NDArray[np.float32], int]:
    """cut: shorten what is longer than the context. -> vectors [texts, D], and how many ids the texts have."""
    service = incoming.service
    async with service.admission.admit("embd-"), service.pool.use(incoming.body.model) as llm:

        def work() -> tuple[NDArray[np.float32], int]:
            return llm.embed_with_usage(_texts(texts), pooling=pooling, dimensions=dimensions, cut=cut)

        vectors, count = await incoming.until_disconnect(lambda: service.lanes.scoring.run(work))
        service.used(prompt_tokens=count)
        return vectors, count


def _texts(raw: str | list[Any]) -> list[str | list[int]]:
    """A text, a list of ids, or a list of either."""
    items = [raw] if isinstance(raw, str) or (raw and is_ids(raw)) else raw
    good = [p for p in items if isinstance(p, str) or is_ids(p)]
    if not items or len(good) < len(items) or len(items) > MAX_TEXTS:
        raise UserError(f"input is a text, a list of token ids, or a list of up to {MAX_TEXTS} of these", param="input")
    return good


def _form(vector: NDArray[np.float32], body: EmbeddingsBody) -> Any:
    if body.encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()
