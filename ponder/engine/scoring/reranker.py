"""How well documents answer a query, as the Qwen3-Reranker models were trained to say it: with "yes" or "no".

    with LLM("Qwen3-Reranker-0.6B") as llm:
        scores, ids = llm.relevance("What is the capital of China?", ["Beijing.", "Gravity."])

They are causal language models. The prompt asks whether the document meets the requirements and ends after an empty
thinking block; the score is the probability of "yes" against "no" as the next id, 0 to 1. Prompt and score are those of
https://huggingface.co/Qwen/Qwen3-Reranker-0.6B (its `format_instruction` and `compute_logits`), also in llama.cpp's
template "rerank" (ggml-org/llama.cpp#15824) and vllm-project/vllm#19260. As there, the frame and what it holds are
tokenised on their own; nothing in a text can become a control token.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.engine.scoring.embedding import check_numbers, states_of
from ponder.model import decoder
from ponder.model.model import Model
from ponder.text.tokenizer.tokenizer import Tokenizer

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
BEFORE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
ROWS = 64  # documents whose head is computed together: [64, 151936] float32 is 39 MB


def prompts_of(
    tokenizer: Tokenizer, query: str, documents: Sequence[str], instruction: str, context: int | None = None
) -> list[list[int]]:
    """The ids of one prompt a document. context: see `Tokenizer.encode`."""
    before, after = (tokenizer.encode(text, allow_control=True) for text in (BEFORE, AFTER))
    asked = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: "
    return [[*before, *tokenizer.encode(asked + document, context=context), *after] for document in documents]


def relevance(model: Model, tokenizer: Tokenizer, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """-> [len(prompts)], 0 to 1. The head itself is asked, never a coarse copy: these two ids need not be likely ones.

    Raises UserError for a vocabulary without such ids, ContextLengthExceeded, DamagedModel.
    """
    words = [tokenizer.encode(word) for word in ("no", "yes")]
    if any(len(ids) != 1 for ids in words):
        raise UserError('this vocabulary has no ids for "yes" and "no"', param="model")
    last = np.empty((len(prompts), model.config.hidden_size), np.float32)
    for i, states in states_of(model, prompts):
        last[i] = states[-1]
    scores = np.empty(len(prompts), np.float32)
    for first in range(0, len(prompts), ROWS):
        logits = np.asarray(model.ops.linear(last[first : first + ROWS], model.weights[decoder.HEAD]), np.float32)
        no, yes = (logits[:, ids[0]].astype(np.float64) for ids in words)
        check_numbers(no - yes)
        scores[first : first + ROWS] = 1 / (1 + np.exp(no - yes))
    return scores
