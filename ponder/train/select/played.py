"""Episodes to begin with: tasks with tools, played as they should be against the real tools, and written down.

    [[stage]]
    name = "episodes"
    kind = "episodes"
    tasks = ["zones"]
    count = 60

A task that knows how it is done (`PlayedTask.act`) acts; what its calls gave is what the tools said. It leaves
`conversations.jsonl` for `data` of a stage of kind sft, and the same as `text.jsonl`, for a tokenizer and a model.
"""

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec
from msgspec import field

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.event import Effective, Event, Finish, ReasoningDelta, TextDelta, ToolCallDone, Usage
from ponder.core.message import Message, ToolResult
from ponder.core.params import SamplingParams, Thinking
from ponder.core.protocol import Abilities, Health, PromptProgress
from ponder.core.request import ChatRequest
from ponder.core.sample import Problem
from ponder.data.document import Document
from ponder.eval.episodes import Player
from ponder.tasks.table import tasks_named
from ponder.tasks.tools.world import PlayedTask
from ponder.text.calls.tool_calls import tagged
from ponder.train.select.conversations import CONVERSATIONS, Conversation, write
from ponder.train.stage import TEXT, Context, TextStage
from ponder.train.stages.text import Levels, check_tasks

AT_ONCE = 16  # episodes in flight
OFTEN = 20  # one text in so many begins with the tools, which are the same in all


class Episodes(TextStage, frozen=True, kw_only=True, tag="episodes"):
    tasks: tuple[str, ...]
    levels: Levels = field(default_factory=dict)
    count: int
    """Episodes in all; tasks take turns."""
    data: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_tasks(self.tasks, self.levels, self.data)
        if self.count < 1:
            raise UserError("count must be 1 episode or more", param="count")
        self._found()

    def _found(self) -> list[PlayedTask]:
        found = []
        for task in tasks_named(self.tasks, self.data):
            if not isinstance(task, PlayedTask):
                raise UserError(f"{task.name} is not played with tools: a stage of kind traces writes it",
                                param="tasks")  # fmt: skip
            found.append(task)
        return found

    def run(self, ctx: Context) -> None:
        asked = list(self._asked(ctx.seed, self.count))
        made: list[Conversation] = []
        with Player() as player:
            for begin in range(0, len(asked), AT_ONCE):
                playing = [
                    (
                        task,
                        problem,
                        player.start(TaskModel(task, problem), task, problem, SamplingParams(), Thinking()),
                    )
                    for task, problem in asked[begin : begin + AT_ONCE]
                ]
                for task, problem, future in playing:
                    episode = future.result()
                    if episode.lost or episode.cut or not task.verify(problem, episode.outcome).ok:
                        why = episode.lost or f"it left {episode.outcome!r}"
                        raise UserError(f"stage {self.name}: {task.name} was not played to its goal, {problem.id}: "
                                        f"{why}", param="tasks")  # fmt: skip
                    made.append(Conversation(episode.messages, episode.tools))
        write(ctx.folder / CONVERSATIONS, made)
        with replacing(ctx.folder / TEXT) as file:
            for n, each in enumerate(made):
                document = Document(
                    text=as_text(each, tools=n % OFTEN == 0), source=self.name, origin=f"#{n}", language="eng_Latn"
                )
                file.write(msgspec.json.encode(document) + b"\n")
        ctx.say(f"{self.name}: {len(made)} episodes, {sum(len(e.messages) for e in made)} messages")

    def some(self, seed: int, count: int) -> list[str]:
        """Without what the tools would say."""
        asked = self._asked(seed, min(count, self.count))
        return [f"{problem.messages[-1].text}\n{t.trace(problem)}\n{t.answer(problem)}\n" for t, problem in asked]

    def _asked(self, seed: int, count: int) -> Iterator[tuple[PlayedTask, Problem]]:
        rng, tasks = random.Random(seed), self._found()
        for n in range(count):
            task = tasks[n % len(tasks)]
            yield task, task.make(rng, rng.choice(task.levels_of(self.levels)), "train")


def as_text(episode: Conversation, *, tools: bool) -> str:
    """As plain text. tools: what could be called stands before it."""
    parts = [json.dumps(tool) for tool in episode.tools if tools]
    for message in episode.messages:
        calls = "".join(tagged(call) for call in message.tool_calls)
        parts.append("\n".join(part for part in (message.reasoning or "", message.text, calls.strip()) if part))
    return "\n".join([*parts, ""])


class TaskModel:
    """A `core.protocol.ChatModel` that does what the task says."""

    def __init__(self, task: PlayedTask, problem: Problem) -> None:
        self._task, self._problem = task, problem

    @property
    def abilities(self) -> Abilities:
        return Abilities()

    def health(self) -> Health:
        return Health()

    def stream(self, request: ChatRequest) -> "WholeMessage":
        heard = [p.text for m in request.messages for p in m.parts if isinstance(p, ToolResult)]
        return WholeMessage(self._task.act(self._problem, heard))


class WholeMessage:
    """A `core.protocol.ChatStream` of a whole message."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events())

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self._events():
            yield event

    def _events(self) -> Sequence[Event]:
        message = self._message
        thoughts = [ReasoningDelta(message.reasoning)] if message.reasoning else []
        words = [TextDelta(message.text)] if message.text else []
        calls = [ToolCallDone(n, call) for n, call in enumerate(message.tool_calls)]
        effective = Effective(True, "default", None, None, None, None, None, None, None)
        return [*thoughts, *words, *calls, Finish("tool_calls" if calls else "stop", Usage(), effective)]

    def cancel(self) -> None: ...

    def turn_ids(self) -> None: ...

    def progress(self) -> PromptProgress | None:
        return None

    def answer_now(self) -> None: ...
