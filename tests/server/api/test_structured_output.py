"""Every spelling of a form that the answer must have binds, in chats and in raw completions, or is refused by name."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live import saying, server

SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"], "additionalProperties": False}
WORD = 'root ::= "yes" | "no"'
PATHS = ("/v1/completions", "/v1/chat/completions")
SPELLINGS: list[tuple[dict[str, Any], set[str]]] = [
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}, {'{"a":"x"}'}),
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, {'{"a":"x"}'}),
    ({"structured_outputs": {"json": SCHEMA}}, {'{"a":"x"}'}),
    ({"guided_json": json.dumps(SCHEMA)}, {'{"a":"x"}'}),
    ({"json_schema": SCHEMA}, {'{"a":"x"}'}),
    ({"structured_outputs": {"regex": "yes|no"}}, {"yes", "no"}),
    ({"structured_outputs": {"choice": ["yes", "no"]}}, {"yes", "no"}),
    ({"structured_outputs": {"grammar": WORD}}, {"yes", "no"}),
    ({"guided_regex": "yes|no"}, {"yes", "no"}),
    ({"guided_choice": ["yes", "no"]}, {"yes", "no"}),
    ({"guided_grammar": 'start: "yes" | "no"'}, {"yes", "no"}),
    ({"regex": "yes|no"}, {"yes", "no"}),
    ({"ebnf": WORD}, {"yes", "no"}),
    ({"grammar": WORD}, {"yes", "no"}),
]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    models = saying(tmp_path_factory.mktemp("s"), {"s": "Well, yes, I would say so."})
    with server(models) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield client


def body_of(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    ask = {"prompt": "x"} if "chat" not in path else {"messages": [{"role": "user", "content": "x"}]}
    return {"model": "s", "max_tokens": 40, **ask, **fields}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("fields", "answers"), SPELLINGS, ids=[next(iter(f)) for f, _ in SPELLINGS])
def test_it_binds(http: httpx.Client, path: str, fields: dict[str, Any], answers: set[str]) -> None:
    reply = http.post(path, json=body_of(path, fields)).json()
    choice = reply["choices"][0]
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    assert "".join(text.split()) in answers and "warnings" not in reply, reply


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"grammar": "root ::= ("}, "grammar"),
        ({"grammar": "root ::= " + "(" * 1400 + '"a"' + ")" * 1400}, "grammar"),
        ({"guided_grammar": "?"}, "grammar"),
        ({"regex": "("}, "regex"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_json": "{"}, "guided_json"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs"),
        ({"structured_outputs": {"regex": 3}}, "structured_outputs"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"regex": "a", "guided_choice": ["b"]}, "regex"),
    ],
)
def test_or_is_refused_by_name(http: httpx.Client, path: str, fields: dict[str, Any], param: str) -> None:
    reply = http.post(path, json=body_of(path, fields))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), reply.text


def test_two_spellings_of_one_form_are_one(http: httpx.Client) -> None:
    fields = {"regex": "yes", "guided_regex": "yes", "structured_outputs": {"regex": "yes", "whitespace_pattern": " "}}
    assert http.post(PATHS[0], json=body_of(PATHS[0], fields)).json()["choices"][0]["text"] == "yes"
