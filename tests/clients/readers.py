"""What a client made of an answer -> the neutral reply that judge.py knows.

text, texts (of every choice), reasoning (None for none), calls [[name, arguments]], finish ("stop", "length",
"tool_calls"), usage {"prompt", "completion", "reasoning", "cached"}, effective, warnings, tokens and alternatives (of
the log-probabilities), or error {"status", "message", "field"}. A key that is not there is one the client hides.
"""

import json
from typing import Any

Reply = dict[str, Any]
ANTHROPIC_ENDS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def read(dialect: str, raw: dict[str, Any]) -> Reply:
    assert "crash" not in raw, raw["crash"]
    if "error" in raw:
        return raw
    if "neutral" in raw:
        return dict(raw["neutral"])
    if dialect == "anthropic":
        return anthropic(raw["whole"])
    if dialect == "ollama":
        return ollama(raw["chunks"])
    return openai_chunks(raw["chunks"]) if "chunks" in raw else openai(raw["whole"])


def openai(reply: dict[str, Any]) -> Reply:
    choices = reply["choices"]
    message = choices[0]["message"]
    calls = [[c["function"]["name"], json.loads(c["function"]["arguments"])] for c in message.get("tool_calls") or []]
    ids = [c["id"] for c in message.get("tool_calls") or []]
    assert len(set(ids)) == len(ids), "two calls with one id"
    assert message["content"] is not None or calls, "null without a call"
    out = {
        "text": message["content"] or "",
        "texts": [c["message"]["content"] for c in choices],
        "reasoning": message.get("reasoning_content"),
        "calls": calls,
        "finish": choices[0]["finish_reason"],
        **_openai_rest(reply),
    }
    return out | _logprobs((choices[0].get("logprobs") or {}).get("content") or [])


def openai_chunks(chunks: list[dict[str, Any]]) -> Reply:
    """By the rules that clients rely on: one finish a choice, one usage chunk without choices, calls by index."""
    assert len({c["id"] for c in chunks}) == 1, "every chunk has the id of the reply"
    parts: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            parts.setdefault(choice["index"], []).append(choice)
    ends = [p["finish_reason"] for p in parts[0] if p["finish_reason"]]
    assert len(ends) == 1, f"finish reasons {ends}"
    first = [p["delta"] for p in parts[0]]
    logprobs = [t for p in parts[0] for t in (p.get("logprobs") or {}).get("content") or []]
    rest: dict[str, Any] = {}
    for chunk in chunks:
        rest |= {k: v for k, v in chunk.items() if k in ("usage", "effective", "warnings") and v is not None}
    thoughts = [d["reasoning_content"] for d in first if d.get("reasoning_content") is not None]
    return {
        "text": _text(first),
        "texts": [_text([p["delta"] for p in parts[i]]) for i in sorted(parts)],
        "reasoning": "".join(thoughts) if thoughts else None,
        "calls": _calls(first),
        "finish": ends[0],
        **_openai_rest(rest),
        **_logprobs(logprobs),
    }


def _text(deltas: list[dict[str, Any]]) -> str:
    return "".join(d.get("content") or "" for d in deltas)


def _calls(deltas: list[dict[str, Any]]) -> list[Any]:
    calls: dict[int, list[str]] = {}
    for part in (p for d in deltas for p in d.get("tool_calls") or []):
        if part["index"] not in calls:
            assert part["id"] and part["function"]["name"] and part.get("type", "function") == "function"
            calls[part["index"]] = [part["function"]["name"], ""]
        calls[part["index"]][1] += part["function"].get("arguments") or ""
    assert list(calls) == list(range(len(calls)))
    return [[name, json.loads(arguments)] for name, arguments in calls.values()]


def _openai_rest(reply: dict[str, Any]) -> Reply:
    usage = reply.get("usage") or {}
    out: Reply = {"usage": {
        "prompt": usage.get("prompt_tokens"), "completion": usage.get("completion_tokens"),
        "reasoning": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
        "cached": (usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
    }}  # fmt: skip
    out |= {"effective": reply["effective"], "warnings": reply.get("warnings") or []} if "effective" in reply else {}
    return out


def _logprobs(content: list[dict[str, Any]]) -> Reply:
    if not content:
        return {}
    assert all(bytes(t["bytes"]).decode() == t["token"] and t["logprob"] <= 0 for t in content)
    return {"tokens": [t["token"] for t in content], "alternatives": len(content[0]["top_logprobs"])}


def anthropic(message: dict[str, Any]) -> Reply:
    blocks = message["content"]
    texts = [b["text"] for b in blocks if b["type"] == "text"]
    thoughts = [b["thinking"] for b in blocks if b["type"] == "thinking"]
    assert all(b["signature"] for b in blocks if b["type"] == "thinking")
    usage = message["usage"]
    cached = usage["cache_read_input_tokens"]
    return {
        "text": "".join(texts),
        "reasoning": "".join(thoughts) if thoughts else None,
        "calls": [[b["name"], b["input"]] for b in blocks if b["type"] == "tool_use"],
        "finish": ANTHROPIC_ENDS[message["stop_reason"]],
        "usage": {"prompt": usage["input_tokens"] + cached, "completion": usage["output_tokens"], "cached": cached},
        "effective": message["effective"],
        "warnings": message.get("warnings", []),
    }


def ollama(parts: list[dict[str, Any]]) -> Reply:
    messages, last = [p["message"] for p in parts], parts[-1]
    assert [p["done"] for p in parts] == [False] * (len(parts) - 1) + [True]
    thoughts = "".join(m.get("thinking") or "" for m in messages)
    calls = [[c["function"]["name"], c["function"]["arguments"]] for m in messages for c in m.get("tool_calls") or []]
    tokens = [t for p in parts for t in p.get("logprobs") or []]
    out = {
        "text": "".join(m["content"] or "" for m in messages),
        "reasoning": thoughts or None,
        "calls": calls,
        "finish": "tool_calls" if calls and last["done_reason"] == "stop" else last["done_reason"],
        "usage": {"prompt": last["prompt_eval_count"], "completion": last["eval_count"]},
    }
    if tokens:
        out |= {"tokens": [t["token"] for t in tokens], "alternatives": len(tokens[0].get("top_logprobs") or [])}
    return out
