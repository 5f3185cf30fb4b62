"""POST /v1/rerank, as Jina's and Cohere's: which documents fit a query best, by the vectors of /v1/embeddings.

The score is the cosine of two vectors, -1 to 1. The query is written as the Qwen3-Embedding models were trained to see
it, behind an instruction; documents stand as they are (https://huggingface.co/Qwen/Qwen3-Embedding-0.6B).
"""

import secrets
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.errors import ContextLengthExceeded
from ponder.engine.embedding import Pooling
from ponder.server.body import parse, read_json
from ponder.server.embeddings import MAX_TEXTS, computed
from ponder.server.errors import ApiError
from ponder.server.service import Service

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


class Document(Struct, frozen=True):
    text: str


class RerankBody(Struct, frozen=True, kw_only=True):
    """instruction: what makes a document fit; empty leaves the query as it is. top_n: how many to tell, best first."""

    query: str
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=MAX_TEXTS - 1)]
    model: str = ""
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = True
    instruction: str = INSTRUCTION
    pooling: Pooling = "last"
    user: str | None = None


async def rerank(request: Request) -> Response:
    service: Service = request.app.state.service
    body, warnings = parse(await read_json(request, service.config), RerankBody, strict=service.config.strict)
    query = f"Instruct: {body.instruction}\nQuery:{body.query}" if body.instruction else body.query
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    try:
        vectors, count = await computed(request, body.model, [query, *texts], body.pooling, None)
    except ContextLengthExceeded as e:
        told = f"query or documents: {e}"
        raise ApiError(400, told, code="context_length_exceeded", param="documents") from e
    scores = (vectors[1:] * vectors[0]).sum(axis=1)  # row by row: equal texts have equal scores, as @ has not
    results = []
    for index in np.argsort(-scores, kind="stable").tolist()[: body.top_n]:  # of equal ones the first comes first
        result: dict[str, Any] = {"index": index, "relevance_score": float(scores[index])}
        results.append(result | ({"document": {"text": texts[index]}} if body.return_documents else {}))
    name, usage = service.pool.find(body.model).name, {"prompt_tokens": count, "total_tokens": count}
    reply = {"id": f"rerank-{secrets.token_hex(12)}", "model": name, "results": results, "usage": usage}
    return JSONResponse(reply | ({"warnings": list(warnings)} if warnings else {}))
