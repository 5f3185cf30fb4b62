"""Thoughts to begin with: questions that are worth one, answers of a teacher, and what is left of both after filters.

    [[stage]]
    name = "traces"
    kind = "traces"
    tasks = ["count", "swap"]
    count = 400
    weak = "plain"                  # a stage: what its model knows without thoughts is not asked
    teacher = "rl"                  # a stage; or model = "qwen3:8b", or a URL; without either the tasks write
    candidates = 4

It leaves `conversations.jsonl` for `data` of a stage of kind sft, and `selection.json`: what was dropped, and why. With
`mode = "no_think"` it is the teacher's answers without thoughts that are kept.
"""

import json
import random
from collections import Counter
from collections.abc import Sequence

from msgspec import field

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.params import SamplingParams
from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.table import tasks_named
from ponder.text.calls.tool_calls import tagged_calls
from ponder.train.select import conversations
from ponder.train.select.conversations import Conversation
from ponder.train.select.queries import Queries, drawn
from ponder.train.select.responses import HeldOut, Response, asked, filters
from ponder.train.select.teacher import ask, teacher_of
from ponder.train.stage import MODEL, Context, Stage
from ponder.train.stages.conversation import Mode
from ponder.train.stages.text import Levels, check_tasks

SELECTION = "selection.json"
HELD_OUT = 200  # questions of each task and split


class Traces(Stage, frozen=True, kw_only=True, tag="traces"):
    tasks: tuple[str, ...]
    levels: Levels = field(default_factory=dict)
    count: int
    """Questions that pass; as many of each task."""
    teacher: str | None = None
    model: str | None = None
    weak: str | None = None
    weak_tries: int = 2
    """A question is dropped when one of so many answers without thoughts is right."""
    mode: Mode = "think"
    candidates: int = 4
    """Responses of the teacher to a question."""
    keep: int = 1
    """Of those that are left, so many a question."""
    least: int = 2
    """Words of a thought below which its answer is a guess."""
    near: float = 0.9
    """Share of a text's 8-grams that a held-out one has, above which it is too near."""
    temperature: float = 1.0
    max_new_tokens: int = 512

    def __post_init__(self) -> None:
        check_tasks(self.tasks, self.levels)
        if self.teacher is not None and self.model is not None:
            raise UserError("a teacher is a stage or a model: name the one", param="teacher")
        if min(self.count, self.candidates, self.keep, self.weak_tries) < 1:
            raise UserError("count, candidates, keep and weak_tries are 1 or more", param="count")

    def parents(self) -> dict[str, str]:
        return {role: name for role, name in (("teacher", self.teacher), ("weak", self.weak)) if name is not None}

    def run(self, ctx: Context) -> None:
        queries = self._queries(ctx)
        ctx.say(f"{self.name}: {len(queries.kept)} of {self.count} questions, dropped {listed(queries.dropped)}")
        if not queries.kept:
            raise UserError(f"stage {self.name}: no question was left: {listed(queries.dropped)}. Take higher levels "
                            "or other tasks", param="levels")  # fmt: skip
        responses = self._responses(ctx, queries.kept)
        rejected: Counter[str] = Counter()
        made: list[Conversation] = []
        solved = 0
        checks = filters(self._held_out(ctx.seed), self.least if self.mode == "think" else 0)
        for (task, problem), several in zip(queries.kept, responses, strict=True):
            left = []
            for response in several:
                why = next((name for name, bad in checks if bad(task, problem, response)), None)
                if why is None:
                    left.append(response)
                else:
                    rejected[why] += 1
            solved += bool(left)
            made += [self._conversation(problem, response) for response in list(dict.fromkeys(left))[: self.keep]]
        if not made:
            raise UserError(f"stage {self.name}: no response was left: {listed(rejected)}. Take lower levels, another "
                            "teacher, or more candidates", param="teacher")  # fmt: skip
        conversations.write(ctx.folder / conversations.CONVERSATIONS, made)
        facts = {
            "queries": {"kept": len(queries.kept), "dropped": dict(queries.dropped), "fields": dict(queries.fields)},
            "responses": {"candidates": sum(map(len, responses)), "rejected": dict(rejected), "kept": len(made)},
            "questions with one left": solved,
        }
        with replacing(ctx.folder / SELECTION) as file:
            file.write(json.dumps(facts, indent=1).encode())
        ctx.say(f"{self.name}: {len(made)} of {sum(map(len, responses))} responses, dropped {listed(rejected)}")

    def _queries(self, ctx: Context) -> Queries:
        tasks = tasks_named(self.tasks)
        if self.weak is None:
            return drawn(tasks, self.levels, self.count, ctx.seed, lambda fresh: [False] * len(fresh))
        with teacher_of(ctx.parents["weak"] / MODEL) as weak:

            def easy(fresh: Sequence[tuple[Task, Problem]]) -> list[bool]:
                said = ask(weak, [p for _, p in fresh], thinking=False, candidates=self.weak_tries,
                           sampling=self._sampling(), seed=ctx.seed, tick=ctx.tick)  # fmt: skip
                return [
                    any(r.ended and task.verify(problem, r.answer).ok for r in several)
                    for (task, problem), several in zip(fresh, said, strict=True)
                ]

            return drawn(tasks, self.levels, self.count, ctx.seed, easy)

    def _responses(self, ctx: Context, queries: Sequence[tuple[Task, Problem]]) -> list[list[Response]]:
        source = ctx.parents["teacher"] / MODEL if self.teacher else self.model
        thinking = self.mode == "think"
        if source is None:
            own = [t.reply(p, t.trace(p) if thinking else None) for t, p in queries]
            return [[Response(m.reasoning or "", t.answer(p), True)] for m, (t, p) in zip(own, queries, strict=True)]
        with teacher_of(source) as teacher:
            return ask(teacher, [p for _, p in queries], thinking=thinking, candidates=self.candidates,
                       sampling=self._sampling(), seed=ctx.seed, tick=ctx.tick)  # fmt: skip

    def _sampling(self) -> SamplingParams:
        return SamplingParams(temperature=self.temperature, max_tokens=self.max_new_tokens)

    def _conversation(self, problem: Problem, response: Response) -> Conversation:
        thought = response.thought if self.mode == "think" else None
        text, found = tagged_calls(response.answer)
        calls = tuple(call for call in found if call is not None)
        said = Message.assistant(text if calls else response.answer, reasoning=thought, tool_calls=calls)
        return Conversation((*problem.messages, said), problem.tools)

    def _held_out(self, seed: int) -> HeldOut:
        rng, texts = random.Random(seed), []
        for task in tasks_named(self.tasks):
            for level in task.levels_of(self.levels):
                for split in ("validation", "test"):
                    for _ in range(HELD_OUT // task.levels + 1):
                        problem = task.make(rng, level, split)
                        texts += [asked(problem), task.trace(problem)]
        return HeldOut(texts, self.near)


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.most_common()) or "none"
