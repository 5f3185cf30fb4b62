"""Several agents: one as a tool of another, a router, a group that takes turns or is moderated.

boss = Agent(model, tools=[AgentTool(researcher), AgentTool(writer)])
router = Router(model, [coder, lawyer])           # one of them answers
group = GroupChat([ann, ben], rounds=2)           # round robin; with moderator=model it says who is next
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec import structs

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.calls import failure
from ponder.agent.loop.event import Note, RunEvent
from ponder.agent.loop.follow import follow
from ponder.agent.loop.run import Run
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.errors import UserError
from ponder.core.event import TextDelta
from ponder.core.message import Message
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.protocol import ChatModel
from ponder.core.request import ChatRequest


class AgentTool(Tool):
    """Another agent that is asked in words and answers in words. Its tools, limits and approvals are its own.

    >>> from ponder import LLM
    >>> from ponder.agent import Agent, AgentTool
    >>> llm = LLM("ponder-mini")
    >>> boss = Agent(llm, tools=[AgentTool(Agent(llm, name="adder", description="Adds numbers."))])
    >>> [tool.name for tool in boss.tools()]
    ['adder']
    """

    def __init__(self, agent: Agent) -> None:
        if not agent.description:
            raise UserError(f"agent {agent.name} needs a description: others choose by it", param="tools")
        self.agent, self.name, self.description = agent, agent.name, agent.description
        task = {"type": "string", "description": "What it shall do, with all it needs to know."}
        self.parameters = {"type": "object", "properties": {"task": task}, "required": ["task"]}
        self.timeout = agent.limits.seconds or 600.0

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        await self.agent.open()
        run = self.agent.start(str(arguments["task"]), conversation=f"{context.conversation}-{self.name}")
        async for event in run:
            if isinstance(event, TextDelta):
                context.progress(event.text)
        assert run.end is not None
        if run.end.reason in ("waiting", "error", "cancelled"):
            return failure(f"{self.name} came to no answer ({run.end.reason}): {run.end.text}")
        return Output(run.end.text)


async def choose(model: ChatModel, agents: Sequence[Agent], messages: Sequence[Message], task: str) -> Agent:
    """The agent that the model names, by a grammar where the engine has one; its reply is looked through otherwise."""
    known = "\n".join(f"- {a.name}: {a.description}" for a in agents)
    asked = Message.user(f"{task}\n{known}\nReply with one name only.")
    names = json.dumps([a.name for a in agents], ensure_ascii=False)
    request = ChatRequest(
        messages=(*(m for m in messages if m.role != "system"), asked),
        sampling=SamplingParams(temperature=0.0, max_tokens=64),
        thinking=Thinking(enabled=False),
        grammar=Grammar("choice", names),
    )
    try:
        stream = await asyncio.to_thread(model.stream, request)
    except UserError:  # a model that always thinks
        stream = await asyncio.to_thread(model.stream, structs.replace(request, thinking=Thinking(budget=0)))
    said = "".join([event.text async for event in follow(stream) if isinstance(event, TextDelta)])
    found = [a for a in agents if a.name == said.strip()] or [a for a in agents if a.name in said]
    return found[0] if found else agents[0]


class Router:
    """Gives each question to the agent that fits, as the model says.

    >>> import asyncio
    >>> from ponder import LLM, Message
    >>> from ponder.agent import Agent, Router
    >>> llm = LLM("ponder-mini")
    >>> router = Router(llm, [Agent(llm, name=n, description=n) for n in ("coder", "lawyer")])
    >>> async def ask(text):
    ...     return await (await router.start([Message.user(text)])).wait()
    >>> asyncio.run(ask("Is this contract valid?")).steps
    1
    >>> router.chosen.name in ("coder", "lawyer")
    True
    """

    def __init__(self, model: ChatModel, agents: Sequence[Agent]) -> None:
        _check_names(agents)
        self.model, self.agents = model, agents
        self.chosen: Agent | None = None

    async def start(self, messages: Sequence[Message], conversation: str | None = None) -> Run:
        """A run of the agent that was chosen, which `chosen` names."""
        agent = await choose(self.model, self.agents, messages, "Who should answer the last message?")
        self.chosen = agent
        await agent.open()
        return agent.start(list(messages), conversation=conversation)


class GroupChat:
    """Agents that talk with each other before one answer stands. Each sees what the others said as a user's words.

    >>> import asyncio
    >>> from ponder import LLM
    >>> from ponder.agent import Agent, GroupChat
    >>> llm = LLM("ponder-mini")
    >>> group = GroupChat([Agent(llm, name="ann"), Agent(llm, name="ben")])
    >>> async def talk(text):
    ...     return [event async for event in group.talk(text)]
    >>> _ = asyncio.run(talk("Hello"))
    >>> [name for name, text in group.said]
    ['ann', 'ben']

    rounds: how often each speaks at most. moderator: names the next speaker after each turn; None is round robin.
    """

    def __init__(self, agents: Sequence[Agent], *, rounds: int = 1, moderator: ChatModel | None = None) -> None:
        _check_names(agents)
        if rounds < 1:
            raise UserError(f"rounds must be at least 1, got {rounds}", param="rounds")
        self.agents, self.rounds, self.moderator = agents, rounds, moderator
        self.said: list[tuple[str, str]] = []  # (name, text)

    async def talk(self, prompt: str) -> AsyncIterator[RunEvent]:
        """The events of every turn; `said` holds what was said, the last entry being the answer."""
        for turn in range(self.rounds * len(self.agents)):
            agent = await self._next(prompt, turn)
            yield Note(f"{agent.name} speaks")
            await agent.open()
            run = agent.start(self._seen(prompt, agent))
            async for event in run:
                yield event
            assert run.end is not None
            self.said.append((agent.name, run.end.text))

    async def _next(self, prompt: str, turn: int) -> Agent:
        if self.moderator is None:
            return self.agents[turn % len(self.agents)]
        talk = Message.user(_transcript(prompt, self.said))
        return await choose(self.moderator, self.agents, [talk], "Who should speak next?")

    def _seen(self, prompt: str, agent: Agent) -> list[Message]:
        """Own turns as the assistant, everybody else's together as the user."""
        messages = [Message.user(prompt)]
        for name, text in self.said:
            if name == agent.name:
                messages.append(Message.assistant(text))
            elif messages[-1].role == "user":
                messages[-1] = Message.user(f"{messages[-1].text}\n\n{name}: {text}")
            else:
                messages.append(Message.user(f"{name}: {text}"))
        if messages[-1].role == "assistant":
            messages.append(Message.user("Go on."))
        return messages


def _transcript(prompt: str, said: Sequence[tuple[str, str]]) -> str:
    return "\n\n".join([prompt, *(f"{name}: {text}" for name, text in said)])


def _check_names(agents: Sequence[Agent]) -> None:
    names = [a.name for a in agents]
    if not agents or len(set(names)) < len(names):
        raise UserError("a group needs agents, each with a name of its own", param="agents")
