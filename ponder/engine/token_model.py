"""The local engine as `core.token_model.TokenModel`: ids in, ids out, for evaluation and reinforcement learning.

Ids come back exactly as they were sampled or fed, each with its writer. Longest prompts start first, so that the end
of a batch is not one long prompt alone, and the choices of a request take their prompt from the first one's cache.

Log-probs are those of the model's whole distribution, before temperature, filters and masks: what a trainer computes
for the same ids. They are reported where the id was drawn from that very distribution (temperature 1, no filter, no
penalty, no bias), and not at all where it was not: `Continuation.logprobs` is None then. One difference stays: ids
that have no place in a phase are never drawn (`<think>` inside the thoughts, both tags in the answer, rows of the model
that belong to no id), and the draw renormalises over the others. Their mass is left in, because the ratio of trainer
and engine is then exactly 1 for equal weights, and because a policy gradient through the whole distribution drives
that mass to 0, where nothing else would.
"""

from collections.abc import Iterator, Sequence

from msgspec import structs

from ponder.core.event import Finish, TokenLogprob
from ponder.core.params import SHAPING, UNSHAPED
from ponder.core.sample import Continuation, Writer
from ponder.core.token_model import TokenRequest
from ponder.engine.decoding.answer_constraint import AnswerRules
from ponder.engine.decoding.request_state import RequestState
from ponder.engine.decoding.settings import ModelProfile, RequestSettings, choose_mode, resolve
from ponder.engine.scheduling.engine import Engine
from ponder.engine.scheduling.handle import Handle
from ponder.text.tokenizer.tokenizer import Tokenizer

PLAIN = AnswerRules(text_calls=True)  # what looks like a call is text: its ids stay as they are in any case


class TokenEngine:
    """A `TokenModel`. Of an engine without a thread it does the steps itself, in the caller's thread."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer, profile: ModelProfile) -> None:
        self.engine, self.tokenizer, self.profile = engine, tokenizer, profile

    @property
    def weights_version(self) -> int:
        return self.engine.weights_version

    def weights_changed(self) -> int:
        return self.engine.weights_changed()

    def sample(self, requests: Sequence[TokenRequest]) -> list[tuple[Continuation, ...]]:
        """Raises UserError when one of them cannot hold; nothing has run then."""
        settings = [self._settings(request) for request in requests]
        handles: dict[int, tuple[Handle, list[RequestState]]] = {}
        try:
            for n in sorted(range(len(requests)), key=lambda n: -len(requests[n].prompt_ids)):
                handles[n] = self._submit(requests[n], settings[n])
            if not self.engine.has_thread:
                while self.engine.step():
                    pass
            return [tuple(self._continuations(*handles[n], whole(s))) for n, s in enumerate(settings)]
        finally:
            for handle, _ in handles.values():
                handle.cancel()

    def _settings(self, request: TokenRequest) -> RequestSettings:
        ids = request.prompt_ids
        self.tokenizer.check_ids(list(ids), "prompt_ids")
        mode = choose_mode(request.thinking, (), self.profile)
        settings = resolve(request.sampling, request.thinking, mode, self.profile, len(ids))
        told = 0 if whole(settings) else None
        return structs.replace(settings, sampling=structs.replace(settings.sampling, logprobs=told))

    def _submit(self, request: TokenRequest, settings: RequestSettings) -> tuple[Handle, list[RequestState]]:
        ids = list(request.prompt_ids)
        silent = not settings.sampling.stop  # stop strings are found in text
        states = [
            RequestState(settings, self.tokenizer, ids, rules=PLAIN, choice=c, silent=silent)
            for c in range(settings.sampling.n)
        ]
        return self.engine.submit(ids, states), states

    def _continuations(self, handle: Handle, states: list[RequestState], told: bool) -> Iterator[Continuation]:
        version = self.engine.weights_version  # cannot change while a sequence runs
        for choice, state in enumerate(states):
            said = list(handle.choice(choice))
            finish = said[-1]
            assert isinstance(finish, Finish), "a stream ends with Finish"
            ids, forced = handle.ids(choice), handle.forced(choice)
            writers: tuple[Writer, ...] = tuple("hand_over" if n in forced else "model" for n in range(len(ids)))
            logprobs = iter(state.logprobs or [e.logprob for e in said if isinstance(e, TokenLogprob)])
            yield Continuation(
                ids=ids,
                writers=writers,
                logprobs=tuple(0.0 if n in forced else next(logprobs) for n in range(len(ids))) if told else None,
                thinking_tokens=finish.usage.reasoning_tokens,
                finish=finish.reason,
                handover=finish.handover,
                weights_version=version,
            )


def whole(settings: RequestSettings) -> bool:
    """Whether ids are drawn from the model's own distribution, nothing cut off and nothing bent."""
    sampling = settings.sampling
    return not sampling.logit_bias and all(getattr(sampling, n) == getattr(UNSHAPED, n) for n in SHAPING)
