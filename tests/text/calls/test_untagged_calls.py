"""Calls written as plain JSON are calls; anything else stays text."""

import json

import pytest
from untagged_corpus import CALL, CORPUS, FENCED, OFFERED, Reply

from ponder.text.calls.untagged_calls import FORMS, UntaggedCalls, full_name, names_no_tool, read_calls


@pytest.mark.parametrize("reply", CORPUS, ids=[reply.form for reply in CORPUS])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_calls_of_a_reply_in_any_pieces(reply: Reply, size: int) -> None:
    reader = UntaggedCalls(OFFERED)
    shown = "".join(reader.feed(reply.text[n : n + size]) for n in range(0, len(reply.text), size)) + reader.finish()
    assert [(call.name, json.loads(call.arguments)) for call in reader.calls] == reply.calls
    assert shown == ("" if reply.calls else reply.text)


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_every_form_is_in_the_corpus(form: object) -> None:
    """Left out of the table, it leaves a reply of the corpus unread."""
    assert any(form.pattern.search(reply.text) for reply in CORPUS if reply.calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"name": "sub", "arguments": {}}', '```json\n[{"name": "sub", "arguments": {}}]\n```',
     '{"name": "sub", "arguments": "1"}', "[" * 5000, '{"name": "add", "arguments": {"a": NaN}}',
     '{"name": "add", "arguments": {"a": -Infinity}}', '{"name": "add", "arguments": {"a": 1e400}}',
     '{"name": "add", "arguments": {"a": "\\ud800"}}', '{"name": "a\\ud800dd", "arguments": {}}',
     '{"name": "add", "arguments": {"a": ' + "[" * 300 + "]" * 300 + "}}"],
)  # fmt: skip
def test_no_call(text: str) -> None:
    assert read_calls(text, {"add"}) == []


@pytest.mark.parametrize("text", [CALL.replace("add", "sub"), f"```json\n[{CALL.replace('add', 'sub')}]\n```"])
def test_a_call_of_what_is_not_offered(text: str) -> None:
    assert names_no_tool(text, {"add"}) and not names_no_tool(text, {"sub"}) and not names_no_tool("Hi", {"add"})


@pytest.mark.parametrize("text", ["<p>Hi", "```python\n", "<toolbox>", "Well, {"])
def test_what_cannot_become_a_call_is_not_held_back(text: str) -> None:
    reader = UntaggedCalls({"add"})
    assert "".join(map(reader.feed, text)) == text


@pytest.mark.parametrize("text", ["<to", "<tools>\n{", "``", "```json\n", " [", "{"])
def test_what_may_become_a_call_is_held_back(text: str) -> None:
    reader = UntaggedCalls({"add"})
    assert not any(map(reader.feed, text))


def test_words_after_the_calls_are_of_no_use() -> None:
    reader = UntaggedCalls({"add"})
    assert not reader.feed(f"{FENCED}\n") and not reader.over
    assert not reader.feed("\nIt") and reader.over and not reader.feed(" is 2.") and not reader.finish()


def test_where_nothing_may_be_called_it_is_text_in_one_piece() -> None:
    reader = UntaggedCalls({"add"}, allowed=False)
    text = f"{FENCED}\n\nIt is 2."
    assert not any(map(reader.feed, text)) and reader.finish() == text
    assert not reader.calls and not reader.malformed


def test_one_call_where_only_one_may_be() -> None:
    reader = UntaggedCalls({"add"}, single=True)
    reader.feed(f"{CALL}\n{CALL}")
    assert not reader.finish() and len(reader.calls) == 1


def test_a_call_that_cannot_be_read_is_counted() -> None:
    for text, malformed in [('{"name": "add", "arguments": {"a": ', 1), ('{"name": "sub", "arguments": {"a": ', 0)]:
        reader = UntaggedCalls({"add"})
        assert reader.feed(text) + reader.finish() == text and reader.malformed == malformed


def test_names_as_small_models_write_them() -> None:
    offered = {"web-fetch", "get_weather"}
    assert [full_name(n, offered) for n in ("fetch", "Web_Fetch", "getWeather", "we")] == [
        "web-fetch", "web-fetch", "get_weather", "we",
    ]  # fmt: skip


def test_code_holds_quotes_of_python_itself() -> None:
    code = 'f("""a\n10""")\ng("""b""", 1)\n'
    (call,) = read_calls(f'{{"name": "run", "arguments": {{"code": """\n{code}""", "n": 1}}}}', {"run"})
    assert json.loads(call.arguments) == {"code": code, "n": 1}


def test_a_lone_text_for_the_only_parameter() -> None:
    (call,) = read_calls(json.dumps({"name": "run", "arguments": "```python\nprint('a')\n```"}), {"run"})
    assert "print('a')" in call.arguments


@pytest.mark.parametrize("frame", ["{}", "```json\n{}\n```"])
@pytest.mark.parametrize("code", ['print("a")', 'f("x").g("}}")\nh("")', "d = {'a': \"b\"}"])
def test_quotes_that_are_not_escaped(frame: str, code: str) -> None:
    (call,) = read_calls(frame.replace("{}", f'{{"name": "run", "arguments": {{"code": "{code}"}}}}'), {"run"})
    assert json.loads(call.arguments) == {"code": code}
