"""What a client of each dialect makes of a reply, whole and streamed: the two must be equal."""

import json
from typing import Any


def chat_whole(reply: dict[str, Any]) -> Any:
    message = reply["choices"][0]["message"]
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", [])]
    return message["content"] or "", message.get("reasoning", ""), calls, reply["usage"]["completion_tokens"]


def chat_streamed(lines: list[str]) -> Any:
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(x.removeprefix("data: ")) for x in lines[:-1]]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    calls: dict[int, list[str]] = {}
    for part in (p for d in deltas for p in d.get("tool_calls", [])):
        call = calls.setdefault(part["index"], ["", ""])
        call[0] += part["function"].get("name", "")
        call[1] += part["function"].get("arguments", "")
    text = "".join(d.get("content") or "" for d in deltas)
    thoughts = "".join(d.get("reasoning", "") for d in deltas)
    return text, thoughts, [tuple(c) for c in calls.values()], chunks[-1]["usage"]["completion_tokens"]


def messages_whole(reply: dict[str, Any]) -> Any:
    return [{k: v for k, v in b.items() if k != "id"} for b in reply["content"]], reply["usage"]["output_tokens"]


def messages_streamed(lines: list[str]) -> Any:
    blocks: list[dict[str, Any]] = []
    arguments, count = "", 0
    for item in (json.loads(x.removeprefix("data: ")) for x in lines if x.startswith("data: ")):
        if item["type"] == "content_block_start":
            blocks.append({k: v for k, v in item["content_block"].items() if k != "id"})
            arguments = ""
        elif item["type"] == "content_block_delta":
            delta = item["delta"]
            if delta["type"] == "input_json_delta":
                arguments += delta["partial_json"]
            else:
                key = delta["type"].removesuffix("_delta")
                blocks[-1][key] = blocks[-1].get(key, "") + delta[key]
        elif item["type"] == "content_block_stop" and arguments:
            blocks[-1]["input"] = json.loads(arguments)
        elif item["type"] == "message_delta":
            count = item["usage"]["output_tokens"]
    return blocks, count


def ollama_whole(reply: dict[str, Any]) -> Any:
    message = reply["message"]
    calls = [c["function"]["arguments"] for c in message.get("tool_calls", [])]
    return message["content"], message.get("thinking", ""), calls, reply["eval_count"]


def ollama_streamed(lines: list[str]) -> Any:
    parts = [json.loads(x) for x in lines]
    messages = [p["message"] for p in parts]
    calls = [c["function"]["arguments"] for m in messages for c in m.get("tool_calls", [])]
    text = "".join(m["content"] for m in messages)
    return text, "".join(m.get("thinking", "") for m in messages), calls, parts[-1]["eval_count"]


def text_whole(reply: dict[str, Any]) -> Any:
    return reply["choices"][0]["text"], reply["usage"]["completion_tokens"]


def text_streamed(lines: list[str]) -> Any:
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(x.removeprefix("data: ")) for x in lines[:-1]]
    text = "".join(c["text"] for chunk in chunks for c in chunk["choices"])
    return text, chunks[-1]["usage"]["completion_tokens"]


def generate_whole(reply: dict[str, Any]) -> Any:
    return reply["response"], reply.get("thinking", ""), reply["eval_count"]


def generate_streamed(lines: list[str]) -> Any:
    parts = [json.loads(x) for x in lines]
    text = "".join(p["response"] for p in parts)
    return text, "".join(p.get("thinking", "") for p in parts), parts[-1]["eval_count"]


def items_whole(reply: dict[str, Any]) -> Any:
    items = [(i["type"], i.get("arguments"), [c["text"] for c in i.get("content", [])]) for i in reply["output"]]
    return items, reply["usage"]["output_tokens"]


def items_streamed(lines: list[str]) -> Any:
    """From the deltas, not from the last event, which holds everything again."""
    items: list[tuple[str, Any, list[str]]] = []
    count = 0
    for event in (json.loads(x.removeprefix("data: ")) for x in lines if x.startswith("data: ")):
        kind = event["type"]
        if kind == "response.output_item.added":
            item = event["item"]
            items.append((item["type"], item.get("arguments"), [] if item["type"] == "function_call" else [""]))
        elif kind == "response.function_call_arguments.delta":
            items[-1] = (items[-1][0], items[-1][1] + event["delta"], [])
        elif kind in ("response.output_text.delta", "response.reasoning_text.delta"):
            items[-1][2][0] += event["delta"]
        elif kind in ("response.completed", "response.incomplete"):
            count = event["response"]["usage"]["output_tokens"]
    return items, count


DIALECTS: dict[str, Any] = {
    "/v1/chat/completions": (chat_whole, chat_streamed, {"stream_options": {"include_usage": True}}),
    "/v1/messages": (messages_whole, messages_streamed, {}),
    "/v1/responses": (items_whole, items_streamed, {}),
    "/v1/completions": (text_whole, text_streamed, {"stream_options": {"include_usage": True}, "max_tokens": 200}),
    "/api/chat": (ollama_whole, ollama_streamed, {}),
    "/api/generate": (generate_whole, generate_streamed, {}),
}
