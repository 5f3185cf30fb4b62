"""Replies of models that leave out the tags of their calls, and the calls that they mean: one corpus for every front.

Offered are `add` and `run`. `None` in the place of arguments: whatever they are.
"""

from typing import Any, NamedTuple

CALL = '{"name": "add", "arguments": {"a": 1}}'
FENCED = f"```json\n{CALL}\n```"
ONE = [("add", {"a": 1})]
OFFERED = ("add", "run")


class Reply(NamedTuple):
    form: str
    text: str
    calls: list[tuple[str, dict[str, Any] | None]]


def run(code: str) -> list[tuple[str, dict[str, Any] | None]]:
    return [("run", {"code": code})]


CORPUS = [
    Reply("bare", CALL, ONE),
    Reply("a code fence", FENCED, ONE),
    Reply("a fence of no language", f"```\n{CALL}\n```", ONE),
    Reply("a fence with a line after it", f"{FENCED}\n", ONE),
    Reply("a fence that does not end", f"```json\n{CALL}", ONE),
    Reply("other tags", f"<tools>\n{CALL}\n</tools>", ONE),
    Reply("blanks around it", f"  {CALL}\n", ONE),
    Reply("a list", f"[{CALL}]", ONE),
    Reply("more keys", CALL[:-1] + ', "result": 2}', ONE),
    Reply("words after the fence", f"{FENCED}\n\nThe result will be 2.", ONE),
    Reply("words after a bare call", CALL + " done", ONE),
    Reply("arguments as a text", '{"name": "add", "arguments": "{\\"a\\": 1}"}', ONE),
    Reply("a name in other letters", CALL.replace("add", "Add"), ONE),
    Reply("two calls", f"{CALL}\n{CALL}", ONE * 2),
    Reply("two fences", f"{FENCED}\n{FENCED}", ONE * 2),
    Reply("a list of two", f"[{CALL}, {CALL}]", ONE * 2),
    Reply("one of two names is offered", f'{{"name": "sub", "arguments": {{}}}}\n{CALL}', [("sub", {}), *ONE]),
    Reply(
        "a text between Python's quotes",
        '```json\n{"name": "run", "arguments": {"code": """\nprint("a")\nprint(\'b\')\n"""}}\n```',
        run("print(\"a\")\nprint('b')\n"),
    ),
    Reply(
        "true line ends and a fence in a string",
        '```json\n{"name": "run", "arguments": {"code": "```python\nprint(1)\n```"}}\n```',
        run("```python\nprint(1)\n```"),
    ),
    Reply(
        "escapes that JSON does not know",
        '{"name": "run", "arguments": {"code": "re.sub(\'\\d+\', \'\\\\n\', s)\\nx"}}',
        run("re.sub('\\d+', '\\n', s)\nx"),
    ),
    Reply("an escape of JavaScript", r"""{"name": "run", "arguments": {"code": "print(\'a\')"}}""", run("print('a')")),
    Reply(
        "quotes that are not escaped",
        '{"name": "run", "arguments": {"code": "f("x").g("}}")\nh("")"}}',
        run('f("x").g("}}")\nh("")'),
    ),
    Reply(
        "quotes that are not escaped, in a fence",
        '```json\n{"name": "run", "arguments": {"code": "d = {\'a\': "b"}"}}\n```',
        run("d = {'a': \"b\"}"),
    ),
    Reply("nothing", "", []),
    Reply("words", "It is 2, of course.", []),
    Reply("an empty object", "{}", []),
    Reply("another object", '{"a": 1}', []),
    Reply("a list of numbers", "[1, 2]", []),
    Reply("a name alone", '{"name": "add"}', []),
    Reply("an empty name", '{"name": "", "arguments": {}}', []),
    Reply("words before it", f"Here it is:\n{FENCED}", []),
    Reply("a name that is not offered, and more keys", '{"name": "sub", "arguments": {}, "x": 1}', []),
    Reply("a fence that is not JSON", "```json\n{", []),
    Reply("a fence of another language", "```python\nx = 1\n```", []),
    Reply("code in a fence, and words", f"```json\n{{}}\n```\n{'word ' * 20}", []),
    Reply("much nesting", "[" * 500, []),
    Reply("two arguments with quotes", '{"name": "run", "arguments": {"code": "print("a")", "n": "x"}}', []),
    Reply("a string that does not end", '{"name": "run", "arguments": {"code": "a "b" c', []),
]
