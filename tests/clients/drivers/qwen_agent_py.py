"""`qwen-agent`: its chat model. Streamed by its raw interface (`use_raw_api`: the server parses the calls), whole by
its own prompt for tools, which it writes into the system message and reads back from the text."""

import json
import logging
import sys
from typing import Any

import openai
from lines import error, serve
from qwen_agent.llm import get_chat_model
from qwen_agent.llm.base import ModelServiceError

NAMED = {"temperature", "top_p", "n", "stop", "max_tokens", "presence_penalty", "frequency_penalty", "logit_bias",
         "seed", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "logprobs",
         "top_logprobs"}  # fmt: skip


class Driver:
    def __init__(self, base: str) -> None:
        self.base = base + "/v1"
        logging.getLogger("qwen_agent_logger").setLevel(logging.ERROR)

    def ask(self, body: dict[str, Any], stream: bool) -> dict[str, Any]:
        named = {k: v for k, v in body.items() if k in NAMED}
        extra = {k: v for k, v in body.items() if k not in NAMED and k not in ("model", "messages", "tools")}
        stream = stream or "tool_choice" in body or "parallel_tool_calls" in body  # its prompt has no words for these
        config = named | {"extra_body": extra, "use_raw_api": stream}
        model = get_chat_model({"model": body["model"], "model_type": "oai", "model_server": self.base,
                                "api_key": "none", "generate_cfg": config})  # fmt: skip
        functions = [t["function"] for t in body.get("tools", [])] or None
        messages = [_message(m) for m in body["messages"]]
        try:
            said = model.chat(messages=messages, functions=functions, stream=stream)
            reply = _reply(list(said)[-1] if stream else said)
            if reply["calls"]:
                reply["text"] = reply["text"].rstrip("\n")  # its reader leaves the line end before a call
            return {"neutral": reply}
        except ModelServiceError as e:
            if not isinstance(e.exception, openai.APIStatusError):
                raise
            return error(e.exception.status_code, e.exception.message, e.exception.body)


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """Its messages have one call each, and results of the role `function`."""
    out = {"role": message["role"], "content": message["content"] or ""}
    if message["role"] == "tool":
        out |= {"role": "function", "name": message["name"], "extra": {"function_id": message["tool_call_id"]}}
    for call in message.get("tool_calls", []):
        out |= {"function_call": call["function"], "extra": {"function_id": call["id"]}}
    return out | ({"reasoning_content": message["reasoning_content"]} if "reasoning_content" in message else {})


def _reply(messages: list[dict[str, Any]]) -> dict[str, Any]:
    calls = [m["function_call"] for m in messages if m.get("function_call")]
    thoughts = "".join(m.get("reasoning_content") or "" for m in messages)
    return {
        "text": "".join(m["content"] for m in messages if isinstance(m["content"], str)),
        "reasoning": thoughts or None,
        "calls": [[c["name"], json.loads(c["arguments"])] for c in calls],
    }


if __name__ == "__main__":
    serve(Driver(sys.argv[1]))
