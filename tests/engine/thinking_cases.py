"""What the tests of thinking let a scripted model say, and the rules that they put on its answers."""

from typing import Any

from control_driver import END_TOOL_CALL, TOOL_CALL, tokenizer

from ponder.core.params import Grammar
from ponder.engine.decoding.answer_constraint import AnswerRules, answer_rules

TOOLS: tuple[dict[str, Any], ...] = (
    {"name": "f", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
)
CALL = [TOOL_CALL, *tokenizer().encode('\n{"name": "f", "arguments": {}}\n'), END_TOOL_CALL]
WORDS = tokenizer().encode("Let us see what the number 9.8 means here, and whether it is more than 9.11 or less. ")
ANSWER = tokenizer().encode("It is 9.8. STOP here, or not.")
RULES = {
    "free": {},
    "choice": {"grammar": Grammar("choice", '["yes", "no"]')},
    "json": {"grammar": Grammar("json_schema", '{"type":"object","properties":{"a":{"const":1}},"required":["a"]}')},
    "tools": {"tools": TOOLS},
    "required": {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
    "none": {"tools": TOOLS, "tool_choice": "none"},
    "both": {"tools": TOOLS, "grammar": Grammar("choice", '["yes", "no"]')},
}


def rules(name: str) -> AnswerRules:
    return answer_rules(tokenizer(), (151645, 151643), **RULES[name])
