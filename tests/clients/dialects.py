"""From the neutral `ask` of a case to the body of each dialect. A field that a dialect has no word for is in LACKS."""

import json
from typing import Any

Body = dict[str, Any]
SAME = ("temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty",
        "repetition_penalty")  # fmt: skip
LACKS = {
    "openai": set[str](),
    "anthropic": {"n", "logprobs", "top_logprobs", "seed", "min_p", "presence_penalty", "frequency_penalty", "json",
                  "repetition_penalty", "logit_bias", "extra"},
    "ollama": {"n", "tool_choice", "parallel", "logit_bias", "budget", "extra"},
}  # fmt: skip


def body_of(dialect: str, ask: Body) -> Body:
    return {"openai": openai, "anthropic": anthropic, "ollama": ollama}[dialect](ask)


def openai(ask: Body) -> Body:
    same = (*SAME, "messages", "max_tokens", "stop", "n", "logprobs", "top_logprobs", "logit_bias")
    out = {k: v for k, v in ask.items() if k in same}
    out["messages"] = [{("reasoning_content" if k == "reasoning" else k): v for k, v in m.items()}
                       for m in out["messages"]]  # fmt: skip
    if "tools" in ask:
        out["tools"] = [{"type": "function", "function": t} for t in ask["tools"]]
    if (choice := ask.get("tool_choice")) is not None:
        words = ("auto", "none", "required")
        out["tool_choice"] = choice if choice in words else {"type": "function", "function": {"name": choice}}
    if "schema" in ask:
        schema = {"name": "answer", "schema": ask["schema"], "strict": True}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    if "json" in ask:
        out["response_format"] = {"type": "json_object"}
    names = {"thinking": "enable_thinking", "budget": "thinking_budget", "effort": "reasoning_effort",
             "parallel": "parallel_tool_calls"}  # fmt: skip
    return out | {new: ask[old] for old, new in names.items() if old in ask} | ask.get("extra", {})


def anthropic(ask: Body) -> Body:
    out = {k: ask[k] for k in ("temperature", "top_p", "top_k") if k in ask}
    messages = list(ask["messages"])
    if messages[0]["role"] == "system":
        out["system"] = messages.pop(0)["content"]
    out["messages"] = _turns(messages)
    out["max_tokens"] = ask.get("max_tokens", 2000)
    if "stop" in ask:
        out["stop_sequences"] = ask["stop"]
    if "tools" in ask:
        renamed = {"name": "name", "description": "description", "parameters": "input_schema", "strict": "strict"}
        out["tools"] = [{renamed[k]: v for k, v in t.items()} for t in ask["tools"]]
    choice = ask.get("tool_choice", "auto")
    kind = {"auto": "auto", "none": "none", "required": "any"}.get(choice)
    if choice != "auto" or "parallel" in ask:
        out["tool_choice"] = {"type": kind} if kind else {"type": "tool", "name": choice}
        out["tool_choice"] |= {"disable_parallel_tool_use": not ask["parallel"]} if "parallel" in ask else {}
    if "thinking" in ask or "budget" in ask:
        on = ask.get("thinking", True)
        budget = {"budget_tokens": ask["budget"]} if "budget" in ask else {}
        out["thinking"] = {"type": "enabled" if on else "disabled"} | budget
    config = {"format": {"type": "json_schema", "schema": ask["schema"]}} if "schema" in ask else {}
    config |= {"effort": ask["effort"]} if "effort" in ask else {}
    return out | ({"output_config": config} if config else {})


def _turns(messages: list[Body]) -> list[Body]:
    """Results that follow each other are one user message, calls and thoughts are blocks."""
    out: list[Body] = []
    for message in messages:
        if message["role"] == "tool":
            block = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
            if out and out[-1]["role"] == "user" and isinstance(out[-1]["content"], list):
                out[-1]["content"].append(block)
            else:
                out.append({"role": "user", "content": [block]})
        elif message["role"] == "assistant":
            out.append({"role": "assistant", "content": _blocks(message)})
        else:
            out.append({"role": message["role"], "content": message["content"]})
    return out


def _blocks(message: Body) -> list[Body]:
    blocks: list[Body] = []
    if "reasoning" in message:
        blocks.append({"type": "thinking", "thinking": message["reasoning"], "signature": "s"})
    if message["content"]:
        blocks.append({"type": "text", "text": message["content"]})
    for call in message.get("tool_calls", []):
        function = call["function"]
        given = json.loads(function["arguments"])
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": given})
    return blocks


def ollama(ask: Body) -> Body:
    renamed = {"max_tokens": "num_predict", "repetition_penalty": "repeat_penalty"}
    options = {renamed.get(k, k): v for k, v in ask.items() if k in (*SAME, "max_tokens", "stop")}
    out: Body = {"messages": [_ollama_message(m) for m in ask["messages"]], "options": options}
    if "tools" in ask:
        out["tools"] = [{"type": "function", "function": t} for t in ask["tools"]]
    if "schema" in ask or "json" in ask:
        out["format"] = ask.get("schema", "json")
    if "thinking" in ask or "effort" in ask:
        out["think"] = ask.get("effort", ask.get("thinking"))
    return out | {k: ask[k] for k in ("logprobs", "top_logprobs") if k in ask}


def _ollama_message(message: Body) -> Body:
    out = {"role": message["role"], "content": message["content"] or ""}
    if "reasoning" in message:
        out["thinking"] = message["reasoning"]
    if message["role"] == "tool":
        out["tool_name"] = message["name"]
    if "tool_calls" in message:
        functions = [c["function"] for c in message["tool_calls"]]
        out["tool_calls"] = [{"function": f | {"arguments": json.loads(f["arguments"])}} for f in functions]
    return out
