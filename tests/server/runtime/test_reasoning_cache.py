"""HC-4: a tool loop whose client drops the thoughts has the prompts of one that sends them back, where the operator
wants it; nobody gets thoughts of another key, another model, or of a conversation that was edited."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.core.errors import UserError
from ponder.core.request import ChatRequest
from ponder.engine.llm import LLM
from ponder.engine.scheduling.handle import Handle
from ponder.server.config import ServerConfig
from ponder.server.runtime.reasoning_cache import ENTRY, ReasoningCache

ARGUMENTS = '{"b": 2.0, "a": "你好 👋🏽"}'
CALL = f'<tool_call>\n{{"name": "add", "arguments": {ARGUMENTS}}}\n</tool_call>'
REPLIES = [
    f"<think>\nFirst I add. 👋🏽\n</think>\n\n{CALL}",
    f"<think>\nOnce more, to be sure.\n</think>\n\nLet me check.\n{CALL}\n{CALL}",
    "<think>\nEverything is known.\n</think>\n\nFour.",
]
PARAMETERS = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": PARAMETERS}}
ASK = {"role": "user", "content": "2 + 2?"}
ON = ServerConfig(restore_thoughts=1 << 20)
TOLD = "the thoughts of {} messages, which the request left out, were restored"
Body = dict[str, Any]
HTTP = httpx.Client(timeout=30)


class Recorded(LLM):
    """Remembers the prompts."""

    def stream(self, request: ChatRequest) -> Handle:
        handle = super().stream(request)
        self.__dict__.setdefault("prompts", []).append(handle.prompt_ids())
        return handle


@contextmanager
def served(folder: Path, config: ServerConfig) -> Iterator[tuple[str, Recorded]]:
    script = folder / "s.jsonl"
    script.write_text("".join(json.dumps(reply) + "\n" for reply in REPLIES))
    with Recorded(f"scripted:{script}") as llm, server({"m": lambda: llm, "n": lambda: llm}, config) as base:
        yield base, llm


def openai(base: str, messages: list[Body], stream: bool, keep: bool) -> Body:
    body = {"model": "m", "messages": messages, "tools": [TOOL], "stream": stream}
    body |= {"stream_options": {"include_usage": True}} if stream else {}
    raw = HTTP.post(f"{base}/v1/chat/completions", json=body)
    assert raw.status_code == 200, raw.text
    if stream:
        reply = joined([json.loads(line[6:]) for line in raw.text.splitlines() if line.startswith("data: {")])
    else:
        reply = raw.json()
    message = reply["choices"][0]["message"]
    assert message["reasoning_content"]
    if not keep:
        message = {k: v for k, v in message.items() if not k.startswith("reasoning")}
    calls = message.get("tool_calls", [])
    messages += [message, *({"role": "tool", "tool_call_id": c["id"], "content": "4"} for c in calls)]
    return reply


def joined(chunks: list[Body]) -> Body:
    """The chunks of a stream as the whole reply."""
    out: Body = {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": []}
    warnings = next((chunk["warnings"] for chunk in chunks if "warnings" in chunk), None)
    for delta in (choice["delta"] for chunk in chunks for choice in chunk["choices"]):
        for field in ("content", "reasoning_content"):
            out[field] += delta.get(field) or ""
        for part in delta.get("tool_calls", []):
            if "id" in part:
                out["tool_calls"].append({k: part[k] for k in ("id", "type", "function")})
            else:
                out["tool_calls"][part["index"]]["function"] |= part["function"] | {"name": "add"}
    reply = {"choices": [{"message": out}], "usage": chunks[-1]["usage"]}
    return reply | ({} if warnings is None else {"warnings": warnings})


def ollama(base: str, messages: list[Body], stream: bool, keep: bool) -> Body:
    raw = HTTP.post(f"{base}/api/chat", json={"model": "m", "messages": messages, "tools": [TOOL], "stream": stream})
    lines = [json.loads(line) for line in raw.text.splitlines()]
    parts = [line["message"] for line in lines]
    calls = [call for part in parts for call in part.get("tool_calls", [])]
    message: Body = {"role": "assistant", "content": "".join(part["content"] for part in parts)}
    message["tool_calls"] = [{"function": call["function"]} for call in calls]  # its clients know no ids
    if keep:
        message["thinking"] = "".join(part.get("thinking", "") for part in parts)
    messages += [message, *({"role": "tool", "tool_name": "add", "content": "4"} for _ in calls)]
    return dict(lines[-1])


def anthropic(base: str, messages: list[Body], stream: bool, keep: bool) -> Body:
    tools = [{"name": "add", "description": "Adds.", "input_schema": PARAMETERS}]
    body = {"model": "m", "max_tokens": 500, "messages": messages, "tools": tools}
    counted = HTTP.post(f"{base}/v1/messages/count_tokens", json=body).json()["input_tokens"]
    reply: Body = HTTP.post(f"{base}/v1/messages", json=body).json()
    assert counted == reply["usage"]["input_tokens"] + reply["usage"]["cache_read_input_tokens"]
    blocks = [b for b in reply["content"] if keep or b["type"] != "thinking"]
    results = [
        {"type": "tool_result", "tool_use_id": b["id"], "content": "4"} for b in blocks if b["type"] == "tool_use"
    ]
    messages += [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]
    return reply


Dialect = Callable[[str, list[Body], bool, bool], Body]


def loop(folder: Path, config: ServerConfig, step: Dialect, *, stream: bool, keep: bool) -> tuple[Any, list[Body]]:
    """-> the prompts and the replies of two calls and an answer."""
    with served(folder, config) as (base, llm):
        messages: list[Body] = [dict(ASK)]
        replies = [step(base, messages, stream, keep) for _ in REPLIES]
        prompts = llm.__dict__["prompts"]
        metrics = HTTP.get(f"{base}/metrics").text
    assert not keep or "ponder_thoughts_restored_total 0" in metrics
    return prompts, replies


@pytest.mark.parametrize(
    ("step", "stream"), [(openai, False), (openai, True), (ollama, False), (ollama, True), (anthropic, False)]
)
def test_a_loop_without_thoughts_has_the_prompts_of_one_with_them(tmp_path: Path, step: Dialect, stream: bool) -> None:
    kept, whole = loop(tmp_path, ON, step, stream=False, keep=True)
    dropped, replies = loop(tmp_path, ON, step, stream=stream, keep=False)
    assert dropped == kept
    assert [r.get("warnings") for r in replies] == [None, [TOLD.format(1)], [TOLD.format(2)]]
    assert not any("warnings" in r for r in whole)
    if step is openai:
        assert [r["usage"] for r in replies] == [r["usage"] for r in whole]
        assert replies[2]["usage"]["prompt_tokens_details"]["cached_tokens"] > len(kept[0])
    if stream:
        return
    plain, replies = loop(tmp_path, ServerConfig(), step, stream=stream, keep=False)
    assert plain[0] == kept[0] and len(plain[1]) < len(kept[1]) and len(plain[2]) < len(kept[2]), "off by default"
    assert not any("warnings" in r for r in replies)


def call(arguments: str = ARGUMENTS) -> Body:
    return {"role": "assistant", "content": "", "tool_calls": [
        {"id": "x", "type": "function", "function": {"name": "add", "arguments": arguments}}]}  # fmt: skip


RESULT = {"role": "tool", "tool_call_id": "x", "content": "4"}
KEY_A = {"Authorization": "Bearer a"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("s"), ServerConfig(restore_thoughts=1 << 20, api_keys=("a", "b"))) as (base, _):
        first = HTTP.post(
            f"{base}/v1/chat/completions", headers=KEY_A, json={"model": "m", "messages": [ASK], "tools": [TOOL]}
        )
        assert first.json()["choices"][0]["message"]["tool_calls"]
        yield base


def warnings(base: str, messages: list[Body], key: str = "a", **more: Any) -> list[str]:
    headers = {"Authorization": f"Bearer {key}"}
    body = {"model": "m", "messages": messages, "tools": [TOOL]} | more
    reply = HTTP.post(f"{base}/v1/chat/completions", headers=headers, json=body)
    assert reply.status_code == 200, reply.text
    return list(reply.json().get("warnings", []))


def test_what_was_written_anew_is_the_same(keyed: str) -> None:
    again = ['{"a":"\\u4f60\\u597d 👋🏽","b":2}', ARGUMENTS, '{"a": "你好 👋🏽", "b": 2.00}']
    for arguments in again:
        assert warnings(keyed, [ASK, call(arguments), RESULT]) == [TOLD.format(1)]
    assert warnings(keyed, [ASK, call() | {"content": None}, RESULT | {"tool_call_id": "y"}]) == [TOLD.format(1)]


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ([ASK, call(), RESULT], {"key": "b"}),
        ([ASK, call(), RESULT], {"model": "n"}),
        ([ASK | {"content": "2 + 3?"}, call(), RESULT], {}),
        ([{"role": "system", "content": "Be brief."}, ASK, call(), RESULT], {}),
        ([ASK, call() | {"content": "Well."}, RESULT], {}),
        ([ASK, call('{"b": 3, "a": "你好 👋🏽"}'), RESULT], {}),
        ([ASK, call('{"b": "2.0", "a": "你好 👋🏽"}'), RESULT], {}),
        ([ASK, call("[" * 5000), RESULT], {}),
        ([ASK, call('"\\ud800"'), RESULT], {}),
        ([ASK, call() | {"reasoning_content": ""}, RESULT], {}),
        ([ASK, call() | {"content": "<think>\nmine\n</think>\n\n"}, RESULT], {}),
        ([ASK, call(), RESULT, ASK], {}),
    ],
    ids=["key", "model", "question", "system", "text", "number", "type", "deep", "surrogate", "empty", "own", "later"],
)
def test_nothing_else_gets_them(keyed: str, messages: list[Body], more: Any) -> None:
    assert not [w for w in warnings(keyed, messages, **more) if "restored" in w]


def test_thoughts_that_the_template_is_told_to_keep(keyed: str) -> None:
    messages = [ASK, call(), RESULT, ASK]
    assert warnings(keyed, messages, preserve_thinking="all") == [TOLD.format(1)]


def test_what_was_not_used_for_longest_goes_first() -> None:
    kept = ReasoningCache(10 * (ENTRY + 100))
    for n in range(10):
        kept.put(bytes([n]), "x" * 100)
    assert kept.get(b"\0") == "x" * 100
    kept.put(b"new", "ü" * 50)
    assert kept.get(b"\1") is None and kept.get(b"\0") and kept.get(b"new") == "ü" * 50
    kept.put(b"new", "x" * 1100)
    assert [n for n in range(10) if kept.get(bytes([n]))] == [0, 6, 7, 8, 9]
    kept.put(b"whole", "x" * (kept.limit - ENTRY + 1))
    assert not any(kept.get(bytes([n])) for n in range(10)) and kept.get(b"whole") is None
    few = ReasoningCache(1 << 20, entries=3)
    for n in range(5):
        few.put(bytes([n]), "")
    assert [n for n in range(5) if few.get(bytes([n])) is not None] == [2, 3, 4]


def test_a_size_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match="--restore-thoughts must be at least 0"):
        ServerConfig(restore_thoughts=-1)
