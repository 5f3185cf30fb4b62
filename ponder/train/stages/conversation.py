"""One problem as the conversation to learn: question, thought, answer, and which of its ids count.

| mode | what is written | what counts |
|---|---|---|
| think | `<think>` thought `</think>` answer | all of it |
| no_think | the template's empty block, then the answer | the answer |
| switched off | `/no_think` after the question; the model writes the empty block itself | block and answer |
| cut | a thought that ends anywhere, the hand-over, the answer | thought and answer, never the hand-over |

Everything but the cut is what `text.chat.render` says is trainable.
"""

import random
from typing import Literal

import numpy as np

from ponder.core.message import Message
from ponder.core.sample import Problem, Sample
from ponder.engine.decoding.thinking_budget import handover_ids
from ponder.tasks.base import Task
from ponder.tasks.tools.world import PlayedTask
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer

Mode = Literal["think", "no_think"]


def conversation(
    problem: Problem, task: Task, tokenizer: Tokenizer, mode: Mode, *, switch: bool = False
) -> tuple[list[int], list[bool]]:
    """ids and whether each counts. switch: the question says which mode is meant, too."""
    thought: str | None = task.trace(problem) if mode == "think" else "" if switch else None
    *before, question = problem.messages
    if switch:
        question = Message.user(f"{question.text} /{mode}")
    rendered = render(
        [*before, question, task.reply(problem, thought)], tokenizer,
        tools=problem.tools, add_generation_prompt=False,
    )  # fmt: skip
    counts = [span.trainable for span in rendered.spans for _ in range(span.start, span.end)]
    return rendered.ids, counts


def likely_said(problem: Problem, task: Task, tokenizer: Tokenizer, mode: Mode) -> tuple[list[int], list[bool]]:
    """The same for an estimate. What is said in a task that is played is not known before; its thought and answer stand
    for it."""
    if not isinstance(task, PlayedTask):
        return conversation(problem, task, tokenizer, mode)
    last = Message.assistant(task.answer(problem), reasoning=task.trace(problem) if mode == "think" else None)
    rendered = render([*problem.messages, last], tokenizer, tools=problem.tools, add_generation_prompt=False)
    return rendered.ids, [span.trainable for span in rendered.spans for _ in range(span.start, span.end)]


def can_be_cut(ids: list[int], counts: list[bool], tokenizer: Tokenizer) -> bool:
    """Whether one thought, and no more, is learned; an empty block is none."""
    began = [n for n, id_ in enumerate(ids) if id_ == tokenizer.think]
    ended = [n for n, id_ in enumerate(ids) if id_ == tokenizer.end_think]
    return len(began) == len(ended) == 1 and counts[began[0]] and ended[0] - began[0] > 2


def cut_short(
    ids: list[int], counts: list[bool], tokenizer: Tokenizer, rng: random.Random
) -> tuple[list[int], list[bool]]:
    """A thinking conversation as an engine with a small budget leaves it: the thought ends after any number of its ids,
    none and all but one included."""
    assert tokenizer.think is not None and tokenizer.end_think is not None
    begin, end = ids.index(tokenizer.think) + 1, ids.index(tokenizer.end_think)
    forced = list(handover_ids(tokenizer, "docs"))
    layout = forced[forced.index(tokenizer.end_think) + 1 :]
    answer = end + 1 + len(layout)
    assert ids[end + 1 : answer] == layout, "the hand-over ends as a thought of the model does"
    at = rng.randrange(begin, end)
    return ids[:at] + forced + ids[answer:], counts[:at] + [False] * len(forced) + counts[answer:]


def sample_of(ids: list[int], counts: list[bool]) -> Sample:
    return Sample.of(ids, ce=np.array([False, *counts[1:]], np.float32))
