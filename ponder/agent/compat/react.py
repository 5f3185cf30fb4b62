"""Tools for models that were never trained to call them: the ReAct text protocol (Yao et al., 2022, arXiv 2210.03629).

    agent = Agent(ReActModel(LLM("some-base-chat-model")), tools=[...])

`ReActModel` is a `ChatModel` around another: it writes the tools and the results into plain text, and reads calls out
of the reply. The loop knows nothing of it. The text is that of Qwen's own ReAct prompt:

    Thought: ...            Action: NAME            Action Input: {JSON}            Observation: ...
"""

import json
from collections.abc import Iterator

from msgspec import structs

from ponder.core.event import Event, Finish, TextDelta, ToolCallDone
from ponder.core.message import Message, ToolCall, ToolResult
from ponder.core.protocol import Abilities, ChatModel, ChatStream, Health
from ponder.core.request import ChatRequest
from ponder.core.stream import WrappedStream

PROMPT = """\
Answer the following questions as best you can. You have access to the following tools:

{tools}

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of [{names}]
Action Input: the input to the action, a JSON object
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!"""
ACTION, INPUT, ANSWER, OBSERVATION = "\nAction:", "\nAction Input:", "\nFinal Answer:", "\nObservation:"


class ReActModel:
    """A model that was never trained to call tools, with tools. A `core.protocol.ChatModel` around another.

    >>> from ponder import LLM
    >>> from ponder.agent import Agent, ReActModel
    >>> agent = Agent(ReActModel(LLM("ponder-mini")))
    >>> agent.model.abilities.untagged_calls
    False
    """

    def __init__(self, model: ChatModel) -> None:
        self.model = model

    @property
    def abilities(self) -> Abilities:
        return structs.replace(self.model.abilities, untagged_calls=False)

    def health(self) -> Health:
        return self.model.health()

    def stream(self, request: ChatRequest) -> ChatStream:
        if not request.tools:
            return self.model.stream(request)
        sampling = structs.replace(request.sampling, stop=(*request.sampling.stop, OBSERVATION.strip()))
        asked = structs.replace(
            request,
            messages=written(request),
            tools=(),
            tool_choice="auto",
            sampling=sampling,
            history="strip",
        )
        return ReActStream(self.model.stream(asked), calls=request.tool_choice != "none")


class ReActStream(WrappedStream):
    """Reads the reply of one turn: text until `Action:`, then one call."""

    def __init__(self, inner: ChatStream, *, calls: bool) -> None:
        super().__init__(inner)
        self._calls = calls
        self._text = ""

    def feed(self, event: Event) -> Iterator[Event]:
        if isinstance(event, TextDelta):
            self._text += event.text
        elif isinstance(event, Finish):
            yield from self._reply(self._text, event)
        else:
            yield event

    def _reply(self, text: str, finish: Finish) -> Iterator[Event]:
        said, call = read_reply(text)
        if call is None or not self._calls:
            yield TextDelta(said)
            yield finish
            return
        yield TextDelta(said)
        yield ToolCallDone(0, call)
        yield structs.replace(finish, reason="tool_calls")

    def turn_ids(self) -> tuple[int, ...] | None:
        return None  # the next prompt writes the turn again


def written(request: ChatRequest) -> tuple[Message, ...]:
    """The conversation without tools: those of the request described in the system text, calls and results as text."""
    described = "\n\n".join(_described(tool["function"]) for tool in request.tools)
    names = ",".join(tool["function"]["name"] for tool in request.tools)
    system = PROMPT.format(tools=described, names=names)
    messages: list[Message] = []
    for message in request.messages:
        if message.role == "system":
            system = f"{message.text}\n\n{system}"
        elif message.role == "tool":
            (part,) = message.parts
            assert isinstance(part, ToolResult)
            messages.append(Message.user(f"Observation: {part.text}"))
        elif message.role == "assistant":
            messages.append(Message.assistant(message.text + "".join(map(_call_text, message.tool_calls))))
        else:
            messages.append(Message.user(f"Question: {message.text}"))
    return (Message.system(system), *messages)


def _described(function: dict[str, object]) -> str:
    parameters = json.dumps(function.get("parameters") or {}, ensure_ascii=False)
    return (
        f"{function['name']}: Call this tool to interact with the {function['name']} API. What is the "
        f"{function['name']} API useful for? {function.get('description', '')} Parameters: {parameters} "
        "Format the arguments as a JSON object."
    )


def _call_text(call: ToolCall) -> str:
    return f"{ACTION} {call.name}{INPUT} {call.arguments}"


def read_reply(text: str) -> tuple[str, ToolCall | None]:
    """(what is said, the call). A final answer stands alone; an action without an input has none: `{}`."""
    lined = "\n" + text
    if ANSWER in lined:
        return lined.split(ANSWER, 1)[1].strip(), None
    if ACTION not in lined:
        return text.strip().removeprefix("Thought:").strip(), None
    said, rest = lined.split(ACTION, 1)
    name, _, arguments = rest.partition(INPUT)
    body = arguments.split(OBSERVATION)[0].strip().removeprefix("```json").strip("`\n ")
    return said.strip("\n"), ToolCall(name.strip().strip("[]`\"'"), body or "{}")
