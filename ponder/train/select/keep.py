"""What the model itself thinks and answers, learned again beside data without thoughts, so that these survive.

Answers without thoughts are learned after a block that the template closed (`conversations`), but the ids of every
other place lose a little each time, `<think>` at the beginning of an answer among them: a small model stopped thinking
after 200 plain samples in which nothing said so. A share of its own thoughts on the same questions holds it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ponder.core.atomic import replacing
from ponder.core.params import UNSHAPED, Thinking
from ponder.core.token_model import TokenModel, TokenRequest
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.select.conversations import Conversation

KEPT = "kept.jsonl"
_MOST = 256  # questions
Told = tuple[list[int], list[bool]]  # ids, and which are learned


def has_thoughts(conversations: Sequence[Conversation]) -> bool:
    return any(message.reasoning for each in conversations for message in each.messages)


def own_thoughts(
    model: TokenModel, tokenizer: Tokenizer, conversations: Sequence[Conversation], *, seed: int, max_new_tokens: int
) -> list[Told]:  # fmt: skip
    """The model's own answers, with thoughts, to the questions of these; those that it did not end are left out."""
    asked = []
    for each in conversations[:_MOST]:
        last = max(n for n, message in enumerate(each.messages) if message.role == "assistant")
        ids = render(each.messages[:last], tokenizer, tools=each.tools, enable_thinking=True).ids
        sampling = replace(UNSHAPED, max_tokens=max_new_tokens, n=1, seed=seed)
        thinking = Thinking(enabled=True, loop_guard=False)
        asked.append(TokenRequest(prompt_ids=tuple(ids), sampling=sampling, thinking=thinking))
    return [
        ([*request.prompt_ids, *said.ids], [False] * len(request.prompt_ids) + [True] * len(said.ids))
        for request, (said,) in zip(asked, model.sample(asked), strict=True)
        if said.finish == "stop" and tokenizer.end_think in said.ids
    ]


def save(path: Path, told: Sequence[Told]) -> None:
    """The weights that wrote them are gone when a run goes on: so they lie on disk."""
    with replacing(path) as file:
        file.write("\n".join(json.dumps(one) for one in told).encode())


def load(path: Path) -> list[Told]:
    return [(ids, counts) for ids, counts in map(json.loads, path.read_text().splitlines())]
