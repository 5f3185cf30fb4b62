"""Calls without tags are the same in `LLM.chat`, in every dialect of the server and in an agent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server
from untagged_corpus import CORPUS, OFFERED, Reply

from ponder.agent.loop.agent import Agent
from ponder.agent.loop.limits import Limits
from ponder.agent.loop.models import for_tools
from ponder.agent.tools.tool import Output, Tool
from ponder.engine.llm import LLM
from ponder.text.tokenizer.tokenizer import Tokenizer

pytestmark = pytest.mark.anyio
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}, "code": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in OFFERED]
ASKED = [{"role": "user", "content": "Go."}]
Calls = list[tuple[str, Any]]
ids = [reply.form for reply in CORPUS]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def one_tokenizer() -> Iterator[None]:
    """To open the vocabulary takes longer than all that is tested here."""
    shared = Tokenizer.packaged("qwen2.5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tokenizer, "packaged", lambda kind: shared)
        yield


def script(folder: Path, *replies: str) -> str:
    model = {"model": {"vocab": "qwen2.5", "capability": "instruct"}}
    lines = [model, *({"text": text} for text in replies)]
    (folder / "s.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return f"scripted:{folder / 's.jsonl'}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, one_tokenizer: None) -> Iterator[str]:
    """A server with a model for each reply of the corpus, named by its number."""
    folder = tmp_path_factory.mktemp("scripts")
    for n in range(len(CORPUS)):
        (folder / str(n)).mkdir()
    models = {str(n): lambda n=n, text=reply.text: LLM(script(folder / str(n), text)) for n, reply in enumerate(CORPUS)}
    with server(models) as url:
        yield str(url)


def pairs(functions: list[dict[str, Any]]) -> Calls:
    return [(f["name"], json.loads(a) if isinstance(a := f["arguments"], str) else a) for f in functions]


@pytest.mark.parametrize("reply", CORPUS, ids=ids)
def test_the_python_api(tmp_path: Path, reply: Reply) -> None:
    with LLM(script(tmp_path, reply.text)) as llm:
        result = llm.chat("Go.", tools=TOOLS)
        assert [(c.name, json.loads(c.arguments)) for c in result.tool_calls] == reply.calls
        assert result.text == ("" if reply.calls else reply.text)
        assert result.finish.reason == ("tool_calls" if reply.calls else "stop")
        assert all(c.id for c in result.tool_calls) and (result.message.ids is None) == bool(reply.calls)


@pytest.mark.parametrize("n", range(len(CORPUS)), ids=ids)
def test_every_dialect(base: str, n: int) -> None:
    model, expected = str(n), CORPUS[n].calls

    def post(path: str, **body: Any) -> Any:
        return httpx.post(base + path, json={"model": model, **body}, timeout=60).json()

    chat = post("/v1/chat/completions", messages=ASKED, tools=TOOLS)["choices"][0]["message"]
    assert pairs([c["function"] for c in chat.get("tool_calls", ())]) == expected
    ollama = post("/api/chat", messages=ASKED, tools=TOOLS, stream=False)["message"]
    assert pairs([c["function"] for c in ollama.get("tool_calls", ())]) == expected
    flat = [{"type": "function", "name": name, "parameters": SCHEMA} for name in OFFERED]
    items = post("/v1/responses", input="Go.", tools=flat)["output"]
    assert pairs([item for item in items if item["type"] == "function_call"]) == expected
    tools = [{"name": name, "input_schema": SCHEMA} for name in OFFERED]
    blocks = post("/v1/messages", messages=ASKED, max_tokens=2000, tools=tools)["content"]
    assert [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"] == expected


class Anything(Tool):
    description = "Does nothing."
    parameters = SCHEMA

    def __init__(self, name: str) -> None:
        self.name = name

    async def call(self, arguments: dict[str, Any], context: Any) -> Output:
        return Output("done")


@pytest.mark.parametrize("reply", CORPUS, ids=ids)
async def test_an_agent(tmp_path: Path, reply: Reply) -> None:
    with LLM(script(tmp_path, reply.text, "Done.", "Done.", "Done.")) as llm:
        agent = Agent(for_tools(llm), tools=[Anything(name) for name in OFFERED], limits=Limits(steps=2))
        run = agent.start("Go.")
        await run.wait()
        calls = run.messages[1].tool_calls
        assert [(c.name, json.loads(c.arguments)) for c in calls] == reply.calls
