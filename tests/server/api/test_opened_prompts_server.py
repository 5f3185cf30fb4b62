"""A model whose prompt opens the thinking block (Thinking-2507, QwQ) writes only its end. On every API the thoughts are
thoughts, the budget counts from the first id, a grammar binds behind the block, and history follows the template."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder import LLM
from ponder.core.event import Finish, ReasoningDelta

SAID = "Two and two. That is four, clearly.\n</think>\n\nFour."
CALL = 'I look.\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
JSON = 'Hm {"a": 0}.\n</think>\n\n{"a": 1}'
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
OPENED = [151644, 77091, 198, 151667, 198]
HI = [{"role": "user", "content": "2+2?"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CHAT = "/v1/chat/completions"


def script(path: Path, *replies: str, capability: str = "thinking") -> str:
    lines = [{"model": {"capability": capability}}, *({"text": reply} for reply in replies)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"scripted:{path}"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("scripts")
    said = {"said": SAID, "call": CALL, "json": JSON}
    models = {name: partial(LLM, script(folder / name, reply)) for name, reply in said.items()}
    models["instruct"] = partial(LLM, script(folder / "instruct", "Four.", capability="instruct"))
    with server(models) as base:  # type: ignore[arg-type]
        yield base


def post(url: str, api: str, model: str, **fields: Any) -> Any:
    reply = httpx.post(url + api, json={"model": model} | fields, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_the_prompt_ends_in_the_open_block(url: str) -> None:
    assert post(url, "/tokenize", "said", messages=HI)["tokens"][-5:] == OPENED
    assert post(url, "/tokenize", "instruct", messages=HI)["tokens"][-3:] == OPENED[:3]


def test_thoughts_and_answer_are_apart_on_every_api(url: str) -> None:
    thoughts = "Two and two. That is four, clearly."
    message = post(url, CHAT, "said", messages=HI)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == (thoughts, "Four.")
    body = {"model": "said", "messages": HI, "stream": True}
    lines = httpx.post(url + CHAT, json=body, timeout=60).text.split("\n")
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines if line.startswith('data: {"id"')]
    assert "".join(d.get("reasoning_content") or "" for d in deltas) == thoughts
    assert "".join(d.get("content") or "" for d in deltas) == "Four."
    blocks = post(url, "/v1/messages", "said", messages=HI, max_tokens=200)["content"]
    assert [(b["type"], b.get("thinking") or b.get("text")) for b in blocks] == [
        ("thinking", thoughts),
        ("text", "Four."),
    ]
    assert [o["type"] for o in post(url, "/v1/responses", "said", input="2+2?")["output"]] == ["reasoning", "message"]
    for api, fields in (("/api/chat", {"messages": HI}), ("/api/generate", {"prompt": "2+2?"})):
        told = post(url, api, "said", stream=False, **fields)
        told = told.get("message", told)
        assert (told["thinking"], told.get("content", told.get("response"))) == (thoughts, "Four.")


@pytest.mark.parametrize("budget", [0, 3])
def test_the_budget_counts_from_the_first_id(url: str, budget: int) -> None:
    reply = post(url, CHAT, "said", messages=HI, thinking_budget=budget)
    assert reply["thinking_truncated"] and reply["choices"][0]["message"]["content"] == "Four."
    usage = reply["usage"]["completion_tokens_details"]
    assert usage["reasoning_tokens"] == budget + 22  # of the 24 ids of the hand-over, those before its tag


def test_a_grammar_and_calls_come_behind_the_thoughts(url: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}
    message = post(url, CHAT, "json", messages=HI, response_format=form)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ('Hm {"a": 0}.', '{"a": 1}')
    for choice in ("auto", "required"):
        said = post(url, CHAT, "call", messages=HI, tools=[TOOL], tool_choice=choice)["choices"][0]
        assert said["finish_reason"] == "tool_calls" and said["message"]["reasoning_content"] == "I look."


def test_history_is_the_template_s(url: str) -> None:
    """Thoughts of earlier turns go, those of a tool loop stay, and every prompt ends in the open block."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    earlier = [*HI, {"role": "assistant", "reasoning_content": "T", "content": "4"}, {"role": "user", "content": "c"}]
    looking = {"role": "assistant", "content": "", "reasoning_content": "L", "tool_calls": [call]}
    loop = [*earlier, looking, {"role": "tool", "content": "R", "tool_call_id": "1"}]
    ids = post(url, "/tokenize", "said", messages=loop)["tokens"]
    text = post(url, "/detokenize", "said", tokens=ids)["content"]
    assert text.endswith(
        "<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n<think>\nL\n</think>\n\n"
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nR\n'
        "</tool_response><|im_end|>\n<|im_start|>assistant\n<think>\n"
    )
    instruct = post(url, "/detokenize", "said", tokens=post(url, "/tokenize", "instruct", messages=loop)["tokens"])
    assert "think>" not in instruct["content"]


def test_in_python_answer_now_and_exact_history(tmp_path: Path) -> None:
    with LLM(script(tmp_path / "a", SAID, SAID, SAID)) as llm:
        first = llm.chat(HI, history="exact")
        assert list(first.prompt_ids[-5:]) == OPENED and first.message.ids is not None
        assert (first.reasoning, first.text) == ("Two and two. That is four, clearly.", "Four.")
        assert list(first.message.ids[:2]) == OPENED[3:]
        following = llm.render([*llm.request(HI).messages, first.message, *llm.request("b").messages], history="exact")
        whole = [*first.prompt_ids, *first.message.ids[2:]]
        assert following.ids[: len(whole)] == whole
        stream = llm.chat_stream(HI)
        stream.answer_now()
        events = list(stream)
        finish = events[-1]
        assert isinstance(finish, Finish) and finish.handover == "answer_now"
        assert not any(isinstance(e, ReasoningDelta) and "clearly" in e.text for e in events)
