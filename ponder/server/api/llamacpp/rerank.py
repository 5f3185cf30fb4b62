"""POST /v1/rerank, as Jina's and Cohere's: which documents fit a query best.

Two kinds of models can tell. Embedding models, by the cosine of two vectors, -1 to 1: the query is written as the
Qwen3-Embedding models were trained to see it, after an instruction; documents stand as they are
(https://huggingface.co/Qwen/Qwen3-Embedding-0.6B, `get_detailed_instruct`). And the Qwen3-Reranker models, by "yes" or
"no" (engine/scoring/reranker.py), 0 to 1. Their files say nothing of that, they are plain language models; only the
name does, which is what other servers go by as well (huggingface/text-embeddings-inference#695,
ggml-org/llama.cpp#15824). So `scoring` says it where the name does not.
"""

import re
import secrets
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from ponder.core.errors import ContextLengthExceeded, UserError
from ponder.engine.scoring.embedding import Pooling
from ponder.engine.scoring.reranker import INSTRUCTION
from ponder.server.api.openai.embeddings import MAX_TEXTS, EmbeddingUsage, computed
from ponder.server.http.errors import ApiError
from ponder.server.http.reply import JsonReply
from ponder.server.runtime.endpoint import Incoming, endpoint
from ponder.server.runtime.pool import Served

Scores = tuple[NDArray[np.float32], int]
Scoring = Literal["cosine", "yes_no"]
RERANKER = re.compile(r"qwen3[-_. ]?reranker", re.IGNORECASE)


class Document(Struct, frozen=True):
    text: str


class RerankBody(Struct, frozen=True, kw_only=True):
    """instruction: what makes a document fit; for a cosine, empty leaves the query as it is. top_n: how many to tell,
    best first. scoring: null is "yes_no" for models that are called Qwen3-Reranker, "cosine" for others."""

    query: str
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=MAX_TEXTS - 1)]
    model: str = ""
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = True
    instruction: str = INSTRUCTION
    scoring: Scoring | None = None
    pooling: Pooling | None = None
    user: str | None = None


class RerankedDocument(JsonReply):
    text: str


class RerankedItem(JsonReply):
    """index: the place in the request. document: with return_documents."""

    index: int
    relevance_score: float
    document: RerankedDocument | None = None


class Reranked(JsonReply):
    id: str
    model: str
    scoring: Scoring
    results: list[RerankedItem]
    usage: EmbeddingUsage
    warnings: list[str] = field(default_factory=list)


@endpoint(RerankBody)
async def rerank(incoming: Incoming[RerankBody]) -> Reranked:
    body = incoming.body
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    served = incoming.service.pool.find(body.model)
    scoring = body.scoring or scoring_of(served)
    score = by_yes_or_no if scoring == "yes_no" else by_cosine
    try:
        scores, count = await score(incoming, texts)
    except ContextLengthExceeded as e:
        text = f"query or documents: {e}"
        raise ApiError(400, text, code="context_length_exceeded", param="documents") from e
    best = np.argsort(-scores, kind="stable").tolist()[: body.top_n]  # of equal ones the first comes first
    return Reranked(
        id=f"rerank-{secrets.token_hex(12)}",
        model=served.name,
        scoring=scoring,
        results=[
            RerankedItem(
                index=i,
                relevance_score=float(scores[i]),
                document=RerankedDocument(text=texts[i]) if body.return_documents else None,
            )
            for i in best
        ],
        usage=EmbeddingUsage(prompt_tokens=count, total_tokens=count),
        warnings=list(incoming.warnings),
    )


def scoring_of(served: Served) -> Scoring:
    """By what the model is called: here, and in its files."""
    names = (served.name, served.info.name if served.info else "")
    return "yes_no" if any(map(RERANKER.search, names)) else "cosine"


async def by_cosine(incoming: Incoming[RerankBody], texts: list[str]) -> Scores:
    body = incoming.body
    query = f"Instruct: {body.instruction}\nQuery:{body.query}" if body.instruction else body.query
    vectors, count = await computed(incoming, [query, *texts], body.pooling or "last", None)
    return (vectors[1:] * vectors[0]).sum(axis=1), count  # row by row: equal texts have equal scores, as @ has not


async def by_yes_or_no(incoming: Incoming[RerankBody], texts: list[str]) -> Scores:
    service, body = incoming.service, incoming.body
    if body.pooling is not None:
        raise UserError("pooling is for vectors, and this model answers yes or no; leave it out", param="pooling")
    async with service.admission.admit("rerank-"), service.pool.use(body.model) as model:
        llm = model.in_process('scoring "yes_no"')

        def work() -> Scores:
            return llm.relevance(body.query, texts, instruction=body.instruction)

        return await incoming.until_disconnect(lambda: service.lanes.scoring.run(work))
