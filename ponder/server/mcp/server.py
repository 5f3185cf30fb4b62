"""Ponder itself as an MCP server: other agents chat with a local model, let it think, and see which models there are.

    ponder mcp qwen3:0.6b               # over stdin and stdout, as a host starts it
    ponder mcp qwen3:0.6b --http        # streamable HTTP at http://127.0.0.1:11436/mcp

The tools run through `Service`, like every dialect: admission, time limit, models on demand. A call that its client
cancels, or whose client is gone, frees its slot within one step.
"""

import time
from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from ponder import __version__
from ponder.core.errors import UserError
from ponder.core.event import Event, Finish, ReasoningDelta
from ponder.core.message import Message, messages_from_dicts
from ponder.core.params import SamplingParams, Thinking
from ponder.core.request import ChatRequest
from ponder.server.http.errors import ApiError
from ponder.server.runtime.service import ActiveRequest, Service

INSTRUCTIONS = """\
Ponder runs language models on this machine. `chat` answers at once. `think` reasons first, for at most `budget`
tokens, and is for what needs working out: mathematics, code, planning. `list_models` names the models. `run_code`, if
it is offered, runs Python in a sandbox."""
TELL = 0.5  # seconds between two progress notifications
ONLY_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)


class Turn(BaseModel):
    """An earlier turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Reply(BaseModel):
    """What a model said. finish_reason: "stop", or "length" when max_tokens cut it off."""

    model: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Thought(Reply):
    """reasoning: the thoughts. handover: why they were ended, if they did not end by themselves ("budget")."""

    reasoning: str
    reasoning_tokens: int
    handover: str | None


class Model(BaseModel):
    """context, capability: known once the model is loaded. capability: "hybrid", "thinking", "instruct" or "base"."""

    name: str
    default: bool
    loaded: bool
    context: int | None
    capability: str | None


class Models(BaseModel):
    models: list[Model]


Prompt = Annotated[str, Field(description="what to ask the model")]
History = Annotated[list[Turn], Field(description="the conversation so far, oldest turn first")]
ModelName = Annotated[str | None, Field(description="one of list_models; by default the first")]
MaxTokens = Annotated[int | None, Field(ge=1, description="most tokens to generate; by default what fits")]
Temperature = Annotated[float | None, Field(ge=0, le=2, description="randomness; by default the model's own")]
Budget = Annotated[int, Field(ge=0, le=131072, description="most tokens of thoughts")]


class ModelTools:
    """The tools. Each docstring and annotation is what the client's model reads."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def chat(
        self, context: Context[Any, Any], prompt: Prompt, history: History | None = None, model: ModelName = None,
        max_tokens: MaxTokens = None, temperature: Temperature = None,
    ) -> Annotated[CallToolResult, Reply]:  # fmt: skip
        """Asks a language model on this machine and returns its answer, without thinking first."""
        request = _request(prompt, history, max_tokens, temperature, Thinking(enabled=False))
        active, choice = await self._run(context, model, request)
        usage = choice.finish.usage
        reply = Reply(
            model=active.llm.name, text=choice.text, finish_reason=choice.finish.reason,
            prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens,
        )  # fmt: skip
        return _result(reply)

    async def think(
        self, context: Context[Any, Any], prompt: Prompt, budget: Budget = 1024, history: History | None = None,
        model: ModelName = None, max_tokens: MaxTokens = None, temperature: Temperature = None,
    ) -> Annotated[CallToolResult, Thought]:  # fmt: skip
        """Lets a language model on this machine reason about a question, for at most `budget` tokens, and then answer.
        The budget is exact: when it is spent, the model is told to answer with what it has."""
        request = _request(prompt, history, max_tokens, temperature, Thinking(enabled=True, budget=budget))
        active, choice = await self._run(context, model, request)
        usage = choice.finish.usage
        reply = Thought(
            model=active.llm.name, text=choice.text, finish_reason=choice.finish.reason,
            prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens,
            reasoning=choice.reasoning or "", reasoning_tokens=usage.reasoning_tokens, handover=choice.finish.handover,
        )  # fmt: skip
        return _result(reply)

    async def list_models(self) -> Models:
        """Names the language models that can be asked here."""
        pool = self._service.pool
        return Models(models=[
            Model(
                name=served.name, default=served.name == pool.default, loaded=served.llm is not None,
                context=served.llm.profile.context if served.llm else None,
                capability=served.llm.profile.capability if served.llm else None,
            )
            for served in pool.models.values()
        ])  # fmt: skip

    async def _run(
        self, context: Context[Any, Any], model: str | None, request: ChatRequest
    ) -> tuple[ActiveRequest, Any]:
        """The whole answer, with progress on the way. Raises ToolError with what the caller can do."""
        try:
            async with self._service.run_chat(model, request, "mcp-") as active:
                events: list[Event] = []
                reported = time.monotonic()
                async for _, event in active.events():
                    events.append(event)
                    if time.monotonic() - reported > TELL and not isinstance(event, Finish):
                        reported = time.monotonic()
                        phase = "thinking" if isinstance(event, ReasoningDelta) else "answering"
                        await context.report_progress(len(active.handle.ids(0)), message=phase)
                return active, active.llm.result(active.handle, [events]).choices[0]
        except (ApiError, UserError) as e:
            raise ToolError(str(e)) from e


def build_mcp(service: Service) -> MCPServer[Any]:
    """The server, to be run over any transport."""
    server: MCPServer[Any] = MCPServer(
        "ponder", title="Ponder", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    tools = ModelTools(service)
    server.add_tool(tools.chat, title="Chat", annotations=ONLY_READS)
    server.add_tool(tools.think, title="Think, then answer", annotations=ONLY_READS)
    server.add_tool(tools.list_models, title="List models", annotations=ONLY_READS)
    return server


def _request(
    prompt: str, history: list[Turn] | None, max_tokens: int | None, temperature: float | None, thinking: Thinking
) -> ChatRequest:
    earlier = messages_from_dicts([turn.model_dump() for turn in history or ()])
    return ChatRequest(
        messages=(*earlier, Message.user(prompt)),
        sampling=SamplingParams(max_tokens=max_tokens, temperature=temperature),
        thinking=thinking,
    )


def _result(reply: Reply) -> CallToolResult:
    """The answer as text, for clients that show only that, and everything as structured content."""
    return CallToolResult(
        content=[TextContent(type="text", text=reply.text)], structured_content=reply.model_dump(mode="json")
    )
