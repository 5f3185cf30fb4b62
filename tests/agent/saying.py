"""Words of a scripted model."""

import json
from typing import Any


def thought(text: str) -> str:
    return f"<think>\n{text}\n</think>\n\n"


def call(name: str, /, **arguments: Any) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments)}}}\n</tool_call>'
