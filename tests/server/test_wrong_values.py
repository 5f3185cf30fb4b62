"""Every route with a body, every place in a valid one, values that do not belong there: an answer or an error in the
dialect's own form, never a failure of ours; and the server goes on."""

import copy
import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live import saying, server

from ponder.server.operations import OPERATIONS

USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA}
CALLED = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
TOOL = {"type": "function", "function": FUNCTION}
TURNS = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    {"role": "assistant", "content": "", "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "c", "content": "1"},
]
SAMPLING = {"temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": ["x"], "stream": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
USED = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": "b"}}
GIVEN = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "1"}]}
OLLAMA = {"model": "s", "stream": False, "options": {"num_predict": 4, "stop": ["x"]}, "think": False, "keep_alive": 60}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "s", "messages": TURNS, "max_tokens": 4, "n": 1, "tools": [TOOL], "tool_choice": "auto",
        "response_format": {"type": "text"}, "logit_bias": {"5": 1}, "logprobs": True, "top_logprobs": 1,
        "stream_options": {"include_usage": True}, "chat_template_kwargs": {"enable_thinking": True},
        "thinking_budget": 5, **SAMPLING},
    "/v1/responses": {
        "model": "s", "instructions": "i", "max_output_tokens": 4, "reasoning": {"effort": "low"},
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                  {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": "b"}'},
                  {"type": "function_call_output", "call_id": "c", "output": "1"}],
        "text": {"format": {"type": "text"}}, "tools": [{"type": "function", **FUNCTION}], "tool_choice": "auto",
        "metadata": {"a": "b"}, "store": False, "stream": False},
    "/v1/completions": {"model": "s", "prompt": ["hi"], "max_tokens": 4, "logprobs": 1, "suffix": None, **SAMPLING},
    "/v1/embeddings": {"model": "s", "input": ["a"], "encoding_format": "float", "dimensions": 4},
    "/v1/rerank": {"model": "s", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1},
    "/v1/messages": {
        "model": "s", "max_tokens": 4, "system": [{"type": "text", "text": "s"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]},
                     {"role": "assistant", "content": [USED]}, {"role": "user", "content": [GIVEN]}],
        "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}], "tool_choice": {"type": "auto"},
        "thinking": {"type": "disabled"}, "metadata": {"user_id": "u"}, "stop_sequences": ["x"], "stream": False},
    "/v1/messages/count_tokens": {"model": "s", "messages": [USER], "tools": [{"name": "f", "input_schema": SCHEMA}]},
    "/api/chat": {"messages": [*TURNS[:2], {"role": "assistant", "content": "", "tool_calls": [
        {"function": {"name": "f", "arguments": {"a": "b"}}}]}], "tools": [TOOL], "format": SCHEMA, **OLLAMA},
    "/api/generate": {"prompt": "hi", "system": "s", "context": [1], "raw": False, **OLLAMA},
    "/api/embed": {"model": "s", "input": ["a"], "truncate": True, "options": {"num_ctx": 9}},
    "/api/embeddings": {"model": "s", "prompt": "a"},
    "/api/show": {"model": "s", "verbose": False},
    "/api/pull": {"model": "s", "stream": False},
    "/api/delete": {"model": "no-such"},
    "/tokenize": {"model": "s", "content": "a", "add_special": False, "with_pieces": True},
    "/detokenize": {"model": "s", "tokens": [1]},
    "/apply-template": {"model": "s", "messages": TURNS, "tools": [TOOL]},
    "/completion": {"model": "s", "prompt": "hi", "n_predict": 4, "json_schema": SCHEMA, "logit_bias": {"5": 1},
                    "n_probs": 1, **SAMPLING},
    "/infill": {"model": "s", "input_prefix": "a", "input_suffix": "b", "n_predict": 4,
                "input_extra": [{"filename": "f", "text": "t"}]},
}  # fmt: skip
DEEP: Any = 0
for _ in range(300):
    DEEP = [DEEP]
WRONG: tuple[Any, ...] = (
    None, True, -1, 10**400, 2**63, 1.5, float("nan"), float("-inf"), "", "\ud800", "unknown", "x" * 20_000, "\0",
    [], {}, [None], [[]], {"": {}}, DEEP, {"type": None}, {"type": []}, [1, 1], ["a", "a"],
)  # fmt: skip
SAMPLE = 12  # of the mutants of a route, the same ones each time
CASES = [o for o in OPERATIONS if o.body is not None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PONDER_HOME", str(folder / "home"))
        with server(saying(folder, {"s": "Yes."}, times=20_000)) as url:
            yield url


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        yield (*at, key)
        yield from places(child, (*at, key))


def replaced(body: Any, place: tuple[Any, ...], wrong: Any) -> Any:
    body = copy.deepcopy(body)
    at = body
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = wrong
    return body


def message_of(path: str, reply: httpx.Response) -> str:
    """What the error says; it has the form of the route's dialect."""
    error = reply.json()["error"]
    if path.startswith("/api/"):
        assert isinstance(error, str)
        return error
    if path.startswith("/v1/messages"):
        assert reply.json()["type"] == "error" and set(error) == {"type", "message"}
    else:
        assert set(error) >= {"message", "type", "param", "code"}
    return str(error["message"]) + " " + str(error.get("param"))


def test_a_body_of_every_route_is_tried() -> None:
    assert {o.path for o in CASES} == set(BODIES)


@pytest.mark.parametrize("operation", CASES, ids=lambda o: o.path)
def test_a_wrong_value_is_answered_or_told_by_the_name_of_its_field(
    base: str, operation: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path, whole, found = operation.path, BODIES[operation.path], []
    caplog.set_level(logging.ERROR)
    mutants = [(place, wrong) for place in places(whole) for wrong in WRONG if place != ("model",)]
    chosen = random.Random(path).sample(mutants, min(SAMPLE, len(mutants)))
    with httpx.Client(base_url=base, timeout=20, headers={"Content-Type": "application/json"}) as http:
        plain = http.request(operation.method, path, json=whole).text  # of the engine of scripts: no embeddings
        for place, wrong in chosen:
            content = json.dumps(replaced(whole, place, wrong)).encode()
            try:
                reply = http.request(operation.method, path, content=content)
            except httpx.TimeoutException:
                found.append((place, repr(wrong)[:40], "no answer"))
                continue
            what = (place, repr(wrong)[:40], reply.status_code, reply.text[:200])
            if reply.status_code >= 500 and reply.status_code != 501:
                found.append(what)
            elif reply.status_code == 400 and reply.text != plain:
                said = message_of(path, reply)
                if not any(str(key) in said for key in place if isinstance(key, str)) and "JSON" not in said:
                    found.append(what)
        assert http.post("/tokenize", json={"content": "a"}).status_code == 200
    assert not found, "\n".join(map(str, found))
    assert not [r for r in caplog.records if r.exc_info]
