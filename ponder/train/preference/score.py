"""How good a reply is, by a model that was tuned on pairs: how much rather it says yes than no when it is asked.

scores = Preference(model, tokenizer)([(messages, "Paris"), (messages, "I do not know")])      # each 0 to 1
"""

from collections.abc import Sequence

import numpy as np
import torch

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.sample import Floats, Sample
from ponder.model.decoder import HEAD
from ponder.model.model import Model
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.batch import in_order

ASK = "{request}\n\nReply: {reply}\n\nIs this reply good? Answer yes or no."
TOGETHER = 8192  # ids computed at a time
Reply = tuple[Sequence[Message], str]
"""What was asked, and the reply."""


def prompt(reply: Reply, tokenizer: Tokenizer) -> list[int]:
    asked = "\n".join(message.text for message in reply[0])
    return render([Message.user(ASK.format(request=asked, reply=reply[1]))], tokenizer, enable_thinking=False).ids


def words(tokenizer: Tokenizer) -> tuple[int, int]:
    """The first ids of yes and no."""
    yes, no = (tokenizer.encode(word)[0] for word in ("yes", "no"))
    if yes == no:
        raise UserError("yes and no begin with the same id in this tokenizer", param="tokenizer")
    return yes, no


def sample_of(reply: Reply, good: bool, tokenizer: Tokenizer) -> Sample:
    ids = [*prompt(reply, tokenizer), words(tokenizer)[0 if good else 1]]
    return Sample.of(ids, ce=[0.0] * (len(ids) - 1) + [1.0])


class Preference:
    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        """model: over the torch ops."""
        self._model, self._tokenizer = model, tokenizer
        self._words = list(words(tokenizer))

    def __call__(self, replies: Sequence[Reply]) -> Floats:
        prompts = [prompt(reply, self._tokenizer) for reply in replies]
        found = [self._scores(part) for part in in_order(prompts, TOGETHER)]
        return np.concatenate([np.zeros(0, np.float32), *found])

    def _scores(self, prompts: Sequence[Sequence[int]]) -> Floats:
        ends = torch.from_numpy(np.cumsum([len(ids) for ids in prompts]) - 1)
        with torch.no_grad():
            hidden = self._model.hidden_states(np.concatenate(prompts), Batch.packed([len(ids) for ids in prompts]))
            logits = hidden[ends].float() @ self._model.weights[HEAD][self._words].float().T
            scores: Floats = logits.softmax(-1)[:, 0].numpy()
            return scores
