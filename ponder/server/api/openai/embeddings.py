"""POST /v1/embeddings and Ollama's /api/embed."""

import asyncio
import base64
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.engine.scoring.embedding import Pooling
from ponder.server.api.openai.completions_request import is_ids
from ponder.server.http.body import parse, read_json
from ponder.server.http.stream import cancel_on_disconnect
from ponder.server.runtime.service import Service

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


async def embeddings(request: Request) -> Response:
    service: Service = request.app.state.service
    body, _ = parse(await read_json(request, service.config), EmbeddingsBody, strict=service.config.strict)
    vectors, count = await computed(request, body.model, body.input, body.pooling, body.dimensions)
    data = [{"object": "embedding", "index": i, "embedding": _form(v, body)} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": count, "total_tokens": count}
    name = service.pool.find(body.model).name
    return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})


async def embed(request: Request) -> Response:
    service: Service = request.app.state.service
    body, _ = parse(await read_json(request, service.config), EmbedBody, strict=service.config.strict)
    vectors, count = await computed(request, body.model, body.input, "last", body.dimensions, cut=body.truncate)
    return JSONResponse({"model": body.model, "embeddings": vectors.tolist(), "prompt_eval_count": count})


async def old_embed(request: Request) -> Response:
    """Ollama's older /api/embeddings: one text, one vector."""
    service: Service = request.app.state.service
    body, _ = parse(await read_json(request, service.config), OldEmbedBody, strict=service.config.strict)
    vectors, _ = await computed(request, body.model, body.prompt, "last", None)
    return JSONResponse({"embedding": vectors[0].tolist()})


async def computed(
    request: Request, model: str, texts: str | list[Any], pooling: Pooling, dimensions: int | None, *, cut: bool = False
) -> tuple[NDArray[np.float32], int]:
    """cut: shorten what is longer than the context. -> vectors [texts, D], and how many ids the texts have."""
    service: Service = request.app.state.service
    async with service.admission.admit("embd-"), service.pool.use(model) as llm:

        def work() -> tuple[NDArray[np.float32], int]:
            inputs = _texts(texts)
            if cut and isinstance(llm, LLM):  # another server sees to it itself
                ids = [llm.tokenizer.encode(t) if isinstance(t, str) else t for t in inputs]
                inputs = [i[: llm.profile.context - 1] for i in ids]  # and the end id that is added
            return llm.embed(inputs, pooling=pooling, dimensions=dimensions)

        return await cancel_on_disconnect(request, lambda: asyncio.to_thread(work))


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
