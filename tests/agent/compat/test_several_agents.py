"""Several agents, and models without tool training."""

import pytest
from saying import call, thought

from ponder.agent.compat.group import AgentTool, GroupChat, Router
from ponder.agent.compat.react import ReActModel, read_reply
from ponder.agent.loop.agent import Agent
from ponder.agent.loop.event import CallProgress, MessageAdded, Note
from ponder.core.errors import UserError
from ponder.core.event import TextDelta
from ponder.core.message import Message

pytestmark = pytest.mark.anyio


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def test_an_agent_as_a_tool(scripted) -> None:
    helper = Agent(scripted(call("add", a=1), "It is two."), tools=[add], name="math", description="Calculates.")
    boss = Agent(scripted(call("math", task="1 + 1?"), "Two, says math."), tools=[AgentTool(helper)])
    async with boss, helper:
        run = boss.start("What is one and one?")
        events = [e async for e in run]
    assert run.end.text == "Two, says math."
    assert [m.text for m in run.messages if m.role == "tool"] == ["It is two."]
    assert "".join(e.text for e in events if isinstance(e, CallProgress)) == "It is two."


async def test_an_agent_without_a_description_is_no_tool(scripted) -> None:
    with pytest.raises(UserError, match="description"):
        AgentTool(Agent(scripted("x")))


async def test_a_router_asks_the_one_who_fits(scripted) -> None:
    agents = [Agent(scripted(f"I am {n}."), name=n, description=f"Knows {n}.") for n in ("law", "code", "tea")]
    router = Router(scripted("code"), agents)
    run = await router.start([Message.user("Why does it not compile?")])
    assert (await run.wait()).text == "I am code." and router.chosen is agents[1]


async def test_round_robin(scripted) -> None:
    ann = Agent(scripted("A1", "A2"), name="Ann")
    ben = Agent(scripted("B1", "B2"), name="Ben")
    group = GroupChat([ann, ben], rounds=2)
    events = [e async for e in group.talk("Discuss.")]
    assert group.said == [("Ann", "A1"), ("Ben", "B1"), ("Ann", "A2"), ("Ben", "B2")]
    assert [e.text for e in events if isinstance(e, Note)] == ["Ann speaks", "Ben speaks"] * 2
    asked = [e.message.text for e in events if isinstance(e, MessageAdded) and e.message.role == "user"]
    assert not asked, "what a speaker sees is not said again"
    assert [m.text for m in group._seen("Discuss.", ann)] == ["Discuss.", "A1", "Ben: B1", "A2", "Ben: B2"]
    assert [m.text for m in group._seen("Discuss.", ben)] == ["Discuss.\n\nAnn: A1", "B1", "Ann: A2", "B2", "Go on."]


async def test_a_moderator_names_the_next(scripted) -> None:
    agents = [Agent(scripted(n, n, n), name=n, description=n) for n in ("Ann", "Ben")]
    group = GroupChat(agents, rounds=1, moderator=scripted("Ben", "Ben"))
    async for _ in group.talk("Go."):
        pass
    assert [name for name, _ in group.said] == ["Ben", "Ben"]


# -- ReAct -------------------------------------------------------------------------------------------------------------

REACT = [
    'Thought: I add.\nAction: add\nAction Input: {"a": 17, "b": 25}\n',
    "Thought: I know.\nFinal Answer: It is 42.",
]


async def test_a_model_without_tool_training(scripted) -> None:
    llm = scripted(*REACT, vocab="qwen2.5", capability="instruct")
    run = Agent(ReActModel(llm), tools=[add], system="Be brief.").start("17 + 25?")
    events = [e async for e in run]
    assert run.end.text == "It is 42." and [m.text for m in run.messages if m.role == "tool"] == ["42"]
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Thought: I add.It is 42."


async def test_the_prompt_of_react_grows_by_what_is_new(scripted) -> None:
    llm = scripted(*REACT, capability="instruct")
    seen: list[str] = []
    inner = llm.stream
    llm.stream = lambda request: (seen.append(llm.tokenizer.decode(llm.rendered(request).ids)), inner(request))[1]
    await Agent(ReActModel(llm), tools=[add]).start("17 + 25?").wait()
    assert "add: Call this tool" in seen[0] and "[add]" in seen[0] and seen[0].endswith("assistant\n")
    assert 'Action Input: {"a": 17, "b": 25}' in seen[1] and "Observation: 42" in seen[1]
    assert seen[1].startswith(seen[0])


@pytest.mark.parametrize(
    ("text", "said", "name", "arguments"),
    [
        ("Action: f\nAction Input: {}", "", "f", "{}"),
        ('Hm.\nAction: `f`\nAction Input: ```json\n{"a": 1}\n```', "Hm.", "f", '{"a": 1}'),
        ("Action: f", "", "f", "{}"),
        ("Final Answer: 3", "3", None, None),
        ("I say Action: now", "I say Action: now", None, None),
        ("Action: f\nAction Input: {}\nFinal Answer: 3", "3", None, None),
        ("", "", None, None),
    ],
)
def test_replies(text: str, said: str, name: str | None, arguments: str | None) -> None:
    words, made = read_reply(text)
    assert words == said and (made.name if made else None) == name and (made.arguments if made else None) == arguments


async def test_thoughts_are_not_text(scripted) -> None:
    llm = scripted(thought("Action: nothing") + REACT[0], REACT[1])
    run = Agent(ReActModel(llm), tools=[add]).start("Go.")
    assert (await run.wait()).text == "It is 42."
