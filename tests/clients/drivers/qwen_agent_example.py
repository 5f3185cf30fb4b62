"""Function calling as qwen-agent documents it: ask with functions, run the call, hand the result back, ask again.

python qwen_agent_example.py BASE_URL MODEL raw|prompt
"""

import json
import sys
from typing import Any

from qwen_agent.llm import get_chat_model

FUNCTIONS = [{
    "name": "get_current_weather",
    "description": "Get the current weather in a given location",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location"],
    },
}]  # fmt: skip


def get_current_weather(location: str, unit: str = "celsius") -> str:
    degrees = {"tokyo": 10, "san francisco": 22, "paris": 18}
    known = next((d for city, d in degrees.items() if city in location.lower()), None)
    return json.dumps({"location": location, "temperature": known, "unit": unit})


def main(base: str, model: str, mode: str) -> None:
    config = {"max_tokens": 400, "temperature": 0, "use_raw_api": mode == "raw"}
    server = {"model": model, "model_type": "oai", "model_server": base + "/v1", "api_key": "none"}
    llm = get_chat_model(server | {"generate_cfg": config})
    messages: list[Any] = [{"role": "user", "content": "What is the weather like in Tokyo?"}]
    messages += _dicts(list(llm.chat(messages=messages, functions=FUNCTIONS, stream=True))[-1])
    called = [m for m in messages if m.get("function_call")]
    for message in called:
        call = message["function_call"]
        result = get_current_weather(**json.loads(call["arguments"]))
        extra = {"extra": message["extra"]} if message.get("extra") else {}
        messages.append({"role": "function", "name": call["name"], "content": result} | extra)
    if called:
        messages += _dicts(list(llm.chat(messages=messages, functions=FUNCTIONS, stream=True))[-1])
    print(json.dumps(messages, ensure_ascii=False))


def _dicts(messages: list[Any]) -> list[Any]:
    """Its raw interface answers with objects."""
    return [m if isinstance(m, dict) else m.model_dump() for m in messages]


if __name__ == "__main__":
    main(*sys.argv[1:])
