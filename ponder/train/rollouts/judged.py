"""Rewards of a judge: a model reads question, reference and reply, and says how good the reply is.

For tasks whose answers no rule decides. A verdict that is none is asked for again; where none comes the whole group is
left out and counted, and never a reward of 0: nothing would be learned there but what the judge stumbles over.
"""

import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.params import SamplingParams, Thinking
from ponder.core.protocol import ChatModel
from ponder.core.request import ChatRequest
from ponder.core.sample import Rollout, Verdict
from ponder.eval.grade import reply_parts
from ponder.tasks.table import tasks_named
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.preference.score import Preference
from ponder.train.rollouts.collect import read
from ponder.train.select.teacher import IN_FLIGHT

ASK = """\
Here are a request, a reference answer and a reply. Say how good the reply is, from 0 (wrong or useless) to 10 (as good
as the reference or better). Its length is no reason.

[Request]
{request}

[Reference]
{reference}

[Reply]
{reply}

Answer with JSON alone: {{"score": 7}}."""
SCORE = re.compile(r'\{\s*"score"\s*:\s*(10|\d)\s*\}')
ATTEMPTS = 3
MOST_MISSING = 0.05  # of the groups; more is a judge that cannot do it
RIGHT = 0.5  # of the reward from which an answer counts as right
Group = Sequence[Rollout]


class Judge:
    def __init__(self, model: ChatModel, tasks: Collection[str], tokenizer: Tokenizer) -> None:
        """tasks: those whose rewards it gives."""
        self._model, self._tasks, self._tokenizer = model, {t.name: t for t in tasks_named(tasks)}, tokenizer
        self.judged = self.missing = 0
        """Groups so far."""

    def __call__(self, groups: Sequence[Group]) -> list[Group]:
        """With the judge's rewards, without groups that it has no verdict for. Raises UserError when these are many."""
        own = [n for n, group in enumerate(groups) if group[0].problem.task in self._tasks]
        asked = [rollout for n in own for rollout in groups[n]]
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="judge") as pool:
            scores = iter(list(pool.map(self._score, asked)))
        found: list[Group] = []
        for n, group in enumerate(groups):
            if n not in own:
                found.append(group)
                continue
            told = [next(scores) for _ in group]
            self.judged += 1
            if any(score is None for score in told):
                self.missing += 1
            else:
                found.append([_with(rollout, score) for rollout, score in zip(group, told, strict=True)])
        if self.missing > max(1, MOST_MISSING * self.judged):
            raise UserError(
                f"the judge gave no verdict for {self.missing} of {self.judged} groups, after {ATTEMPTS} attempts "
                "each: take a larger one",
                param="judge", code="not_judged",
            )  # fmt: skip
        return found

    def _score(self, rollout: Rollout) -> float | None:
        """0 to 1. What was never ended is 0 without asking."""
        verdict = rollout.verdict
        if verdict is not None and verdict.status == "truncated":
            return 0.0
        _, reply, _ = read(rollout.prompt_ids, rollout.continuation, self._tokenizer)
        problem = rollout.problem
        text = ASK.format(
            request="\n".join(m.text for m in problem.messages),
            reference=self._tasks[problem.task].answer(problem), reply=reply.replace("[Reference]", "(Reference)"),
        )  # fmt: skip
        for attempt in range(ATTEMPTS):
            sampling = SamplingParams(temperature=0.0 if attempt == 0 else 0.7, max_tokens=64, seed=attempt)
            request = ChatRequest(messages=(Message.user(text),), sampling=sampling, thinking=Thinking(enabled=False))
            _, answer, _ = reply_parts(list(self._model.stream(request)))
            if match := SCORE.search(answer):
                return int(match[1]) / 10
        return None


def _with(rollout: Rollout, score: float | None) -> Rollout:
    assert score is not None and rollout.verdict is not None
    if rollout.verdict.status == "truncated":
        return rollout
    parts = {"rule": rollout.verdict.reward, "told": score}
    return replace(rollout, verdict=Verdict(reward=score, ok=score >= RIGHT, status="graded", parts=parts))


class Preferred:
    """The score of a preference model as the reward of some tasks."""

    def __init__(self, score: Preference, tasks: Collection[str], tokenizer: Tokenizer) -> None:
        self._score, self._tasks, self._tokenizer = score, frozenset(tasks), tokenizer

    def __call__(self, groups: Sequence[Group]) -> list[Group]:
        return [self._scored(group) if group[0].problem.task in self._tasks else group for group in groups]

    def _scored(self, group: Group) -> Group:
        replies = [read(r.prompt_ids, r.continuation, self._tokenizer)[1] for r in group]
        scores = self._score([(r.problem.messages, reply) for r, reply in zip(group, replies, strict=True)])
        return [_with(rollout, float(score)) for rollout, score in zip(group, scores, strict=True)]
