"""What a model tells of texts without writing any: their ids, vectors, relevance, log-probabilities.

Scores are computed beside the running requests, by the model itself: a script has no states, and refuses.
"""

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.event import TokenLogprob
from ponder.engine.decoding.prompt import LONGEST_TOKEN, Prompt, counted, refuse_hopeless
from ponder.engine.decoding.settings import ModelProfile
from ponder.engine.scheduling.engine import Engine
from ponder.engine.scheduling.runner import ModelRunner
from ponder.engine.scoring.embedding import Pooling, embed
from ponder.engine.scoring.prompt_logprobs import prompt_logprobs
from ponder.engine.scoring.reranker import INSTRUCTION, prompts_of, relevance
from ponder.model.model import Model
from ponder.text.tokenizer.tokenizer import Tokenizer


class TextScores:
    """The part of an `LLM` that scores."""

    engine: Engine
    tokenizer: Tokenizer
    profile: ModelProfile
    name: str

    def tokenize(self, text: str, *, allow_control: bool = False) -> list[int]:
        """The ids of a text, also of one that is some contexts too long. Raises ContextLengthExceeded for one that no
        tokenisation makes short enough, and for one of many contexts."""
        refuse_hopeless([text], self.profile)
        encode = self.tokenizer.encode
        return counted(lambda room: encode(text, allow_control=allow_control, context=room), self.profile)

    @overload
    def embed(
        self, texts: str, *, pooling: Pooling = "last", dimensions: int | None = None, cut: bool = False
    ) -> NDArray[np.float32]: ...
    @overload
    def embed(
        self, texts: Sequence[Prompt], *, pooling: Pooling = "last", dimensions: int | None = None, cut: bool = False
    ) -> NDArray[np.float32]: ...
    def embed(
        self,
        texts: str | Sequence[Prompt],
        *,
        pooling: Pooling = "last",
        dimensions: int | None = None,
        cut: bool = False,
    ) -> NDArray[np.float32]:
        """One text as a vector of length 1 [D], several (or lists of ids) as vectors [texts, D]; see
        `engine.scoring.embedding`.

        dimensions: the first of D that are kept. cut: leave out the end of a text that is too long. Computed beside the
        running requests. Raises UserError for a script, which has no states."""
        some = [texts] if isinstance(texts, str) else texts
        vectors, _ = self.embed_with_usage(some, pooling=pooling, dimensions=dimensions, cut=cut)
        return vectors[0] if isinstance(texts, str) else vectors

    async def aembed(
        self,
        texts: str | Sequence[Prompt],
        *,
        pooling: Pooling = "last",
        dimensions: int | None = None,
        cut: bool = False,
    ) -> NDArray[np.float32]:
        """`embed` for a coroutine: in a thread."""
        from asyncio import to_thread  # only for who is async

        return await to_thread(lambda: self.embed(texts, pooling=pooling, dimensions=dimensions, cut=cut))

    def embed_with_usage(
        self, texts: Sequence[Prompt], *, pooling: Pooling = "last", dimensions: int | None = None, cut: bool = False
    ) -> tuple[NDArray[np.float32], int]:
        """Vectors [texts, D], and the number of ids that the texts have."""
        model = self._model("hidden states to make embeddings of", "model")
        prompts = [self._embedded_ids(t, cut) for t in texts]
        for ids in prompts:
            self.tokenizer.check_ids(ids, "input")
        end = min(self.tokenizer.eos_ids)  # <|endoftext|>
        vectors = embed(model, prompts, pooling=pooling, end_id=end, dimensions=dimensions)
        return vectors, sum(map(len, prompts))

    def _embedded_ids(self, text: Prompt, cut: bool) -> list[int]:
        context = self.profile.context
        if not isinstance(text, str):
            ids = list(text)
        elif cut:  # what no tokenisation could keep is not looked at
            ids = self.tokenizer.encode(text[: context * LONGEST_TOKEN])
        else:
            refuse_hopeless([text], self.profile)
            ids = self.tokenizer.encode(text, context=context)
        return ids[: context - 1] if cut else ids  # and the end id that is added

    def relevance(
        self, query: str, documents: Sequence[str], *, instruction: str = INSTRUCTION
    ) -> tuple[NDArray[np.float32], int]:
        """How well each document answers the query, 0 to 1 [documents], and the number of ids of the prompts; for the
        Qwen3-Reranker models, see `engine.scoring.reranker`. Computed beside the running requests. Raises UserError for
        a script."""
        model = self._model("hidden states to judge documents by", "model")
        refuse_hopeless([query, max(documents, key=len, default="")], self.profile)
        prompts = prompts_of(self.tokenizer, query, documents, instruction, self.profile.context)
        return relevance(model, self.tokenizer, prompts), sum(map(len, prompts))

    def prompt_logprobs(self, ids: list[int], top: int = 0) -> tuple[TokenLogprob, ...]:
        """How likely each id but the first is after those before it, with the `top` likeliest ids at its place.
        Computed beside the running requests. Raises UserError for a script, which has no probabilities."""
        model = self._model("log-probabilities of a prompt", "echo")
        self.tokenizer.check_ids(ids, "prompt")
        scored = prompt_logprobs(model, ids, top, self.profile.vocab)
        of = self.tokenizer.token_bytes
        return tuple(TokenLogprob(id_, of(id_), p, likely) for id_, (p, likely) in zip(ids[1:], scored))

    def _model(self, lacks: str, param: str) -> Model:
        """lacks: what a script has not."""
        if not isinstance(self.engine.runner, ModelRunner):
            raise UserError(f"{self.name} has no {lacks}", param=param)
        return self.engine.runner.model
