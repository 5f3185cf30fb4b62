"""Custom tools (free text) and namespaces of OpenAI's dialects: offered, called, in the history, streamed and whole."""

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live import saying, server

from ponder.server.api.openai.tools import InputStream, chat_function_call, input_of, offered

PATCH = '*** Begin Patch\n*** Add File: ä.txt\n+"hi" \\ 👋\n*** End Patch\n'
FORM = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"}
CUSTOM: Any = {"type": "custom", "name": "apply_patch", "description": "Edit files.", "format": FORM}
SPACE: Any = {"type": "namespace", "name": "mcp__git", "description": "git", "tools": [
    {"type": "function", "name": "log", "parameters": {"type": "object"}}]}  # fmt: skip


def call(name: str, arguments: Any) -> str:
    written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{written}\n</tool_call>"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    replies = {"patch": call("apply_patch", {"input": PATCH}), "odd": call("apply_patch", {"patch": "p"}),
               "log": call("mcp__git__log", {"n": 1})}  # fmt: skip
    models = saying(tmp_path_factory.mktemp("s"), replies)
    with server(models) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


def events(http: httpx.Client, path: str, body: Any) -> list[Any]:
    text = http.post(path, json=body | {"stream": True}).text
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]


@pytest.mark.parametrize(("model", "wanted"), [("patch", PATCH), ("odd", "p")])
def test_responses(http: httpx.Client, model: str, wanted: str) -> None:
    body = {"model": model, "input": "go", "tools": [CUSTOM]}
    whole = http.post("/v1/responses", json=body).json()["output"][0]
    assert (whole["type"], whole["name"], whole["input"]) == ("custom_tool_call", "apply_patch", wanted)
    told = events(http, "/v1/responses", body)
    deltas = [e["delta"] for e in told if e["type"] == "response.custom_tool_call_input.delta"]
    done = next(e for e in told if e["type"] == "response.custom_tool_call_input.done")
    item = next(e["item"] for e in told if e["type"] == "response.output_item.done")
    assert "".join(deltas) == done["input"] == item["input"] == wanted and item["id"].startswith("ctc_")


def test_chat(http: httpx.Client) -> None:
    tool = {"type": "custom", "custom": {"name": "apply_patch", "format": {"type": "grammar", "grammar": FORM}}}
    body: Any = {"model": "patch", "messages": [{"role": "user", "content": "go"}], "tools": [tool],
                 "tool_choice": {"type": "custom", "custom": {"name": "apply_patch"}}}  # fmt: skip
    message = http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]
    (made,) = message["tool_calls"]
    assert made["type"] == "custom" and made["custom"] == {"name": "apply_patch", "input": PATCH}
    pieces = [p for c in events(http, "/v1/chat/completions", body) for choice in c["choices"]
              for p in choice["delta"].get("tool_calls", [])]  # fmt: skip
    assert pieces[0]["custom"]["name"] == "apply_patch" and pieces[0]["type"] == "custom"
    assert "".join(p["custom"]["input"] for p in pieces) == PATCH
    back = [*body["messages"], message, {"role": "tool", "tool_call_id": made["id"], "content": "Success"}]
    assert http.post("/v1/chat/completions", json=body | {"messages": back}).status_code == 200
    function = chat_function_call(made)["function"]
    assert function["name"] == "apply_patch" and json.loads(function["arguments"]) == {"input": PATCH}


def test_namespaces(http: httpx.Client) -> None:
    body = {"model": "log", "input": "go", "tools": [SPACE]}
    (item,) = http.post("/v1/responses", json=body).json()["output"]
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "mcp__git", "log")
    (added,) = [e["item"] for e in events(http, "/v1/responses", body) if e["type"] == "response.output_item.added"]
    assert (added["namespace"], added["name"]) == ("mcp__git", "log")


def test_what_the_model_is_told() -> None:
    found = offered([CUSTOM, SPACE, {"type": "web_search"}, {"type": "function", "name": "f"}])
    functions = [t["function"] for t in found.functions]
    assert [f["name"] for f in functions] == ["apply_patch", "mcp__git__log", "f"]
    assert functions[0]["parameters"]["required"] == ["input"]
    assert "Edit files." in functions[0]["description"] and "start: /.+/s" in functions[0]["description"]
    assert found.custom == {"apply_patch"} and found.spaces == {"mcp__git__log": ("mcp__git", "log")}
    assert [w for w in found.warnings if "web_search" in w]


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_input_is_the_same_however_it_is_cut(ascii_only: bool) -> None:
    arguments = json.dumps({"input": PATCH + "\u2028\t𝔘"}, ensure_ascii=ascii_only)
    rng = random.Random(7)
    for _ in range(200):
        cuts = sorted(rng.choices(range(len(arguments)), k=rng.randrange(1, 12)))
        heard = InputStream()
        said = [heard.feed(arguments[a:b]) for a, b in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
        assert "".join(said) + heard.finish(arguments) == input_of(arguments)


def test_one_letter_at_a_time_waits_for_nothing_but_escapes() -> None:
    heard = InputStream()
    assert [heard.feed(c) for c in '{"input": "a\\nb'] == [""] * 11 + ["a", "", "\n", "b"]
