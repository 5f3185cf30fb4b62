"""What the scripted models of the client suites say: one model a reply, so that no order of requests matters."""

import json
from pathlib import Path

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": "}"}}\n</tool_call>'
ODD_ARGUMENTS = '{"città": "Zürich 👋🏽", "deep": {"a": [1, null]}}'
ODD_CALL = f'<tool_call>\n{{"name": "查询.weather-now", "arguments": {ODD_ARGUMENTS}}}\n</tool_call>'
EMPTY_CALL = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
PLAIN = "Grüße 你好 👋🏽!"
TORTURE = '👨‍👩‍👧‍👦 q\u0301 ﷽ 🇩🇪 \u2028 \u2029 \x85 𝔘𝔫𝔦 \t\n\n  </ think> {"a": "\\u00e9"} 한국어 ไทย'
NUMBERS = "one two three four five six seven eight nine ten"
PERSON = '{"name": "Ada", "age": 36}'
# a period too long for the loop guard
ENDLESS = "<think>\n" + " ".join(f"thought {i * i}" for i in range(200))


def _thought(text: str) -> str:
    return f"<think>\nLet me see.\n</think>\n\n{text}"


def _quiet(text: str) -> str:
    return f"<think>\n\n</think>\n\n{text}"


REPLIES: dict[str, list[object]] = {
    "plain": [_thought(PLAIN)],
    "bare": ["Just this."],  # no block of thoughts: what a model says when the prompt has closed it
    "quiet": [_quiet("Just this.")],
    "silent": [_thought("")],
    "torture": [_thought(TORTURE)],
    "numbers": [_quiet(NUMBERS)],
    "person": [_thought(PERSON)],
    "prose": [_thought("I would rather write prose than JSON.")],
    "call": [_thought("One moment.\n" + CALL)],
    "calls": [_thought(f"Two at once.\n{CALL}\n{CALL}")],
    "odd-call": [_thought(ODD_CALL)],
    "empty-call": [_thought(EMPTY_CALL)],
    "broken-call": [_quiet("<tool_call>\nnot json\n</tool_call>")],
    "thought-call": [f"<think>\nI could {CALL} now.\n</think>\n\nNo need."],
    "thought-end": [f"<think>\nI do it.\n{CALL}"],
    "endless": [{"text": ENDLESS, "eos": False, "answer": "So be it."}],
    "loop": [{"text": "<think>\n\n</think>\n\n" + "again and " * 3, "eos": False}],
    "small": [{"model": {"context": 200}}, _quiet("Small.")],
    "weather": [
        _thought('<tool_call>\n{"name": "get_current_weather", "arguments": {"location": "Tokyo"}}\n</tool_call>'),
        _thought("It is 10 degrees in Tokyo."),
    ],
    "instruct": [{"model": {"capability": "instruct"}}, "No thoughts here."],
}


def write(folder: Path) -> dict[str, str]:
    """One file a model -> the argument that makes `ponder serve` offer it, by the model's short name."""
    for name, lines in REPLIES.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {name: f"scripted:{folder / name}" for name in REPLIES}
