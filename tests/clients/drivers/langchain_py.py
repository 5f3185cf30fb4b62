"""`langchain-openai`: ChatOpenAI. Its messages are read, not the bodies below them."""

import sys
from typing import Any

import openai
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI
from lines import error, serve

NAMED = {"temperature", "top_p", "n", "stop", "max_tokens", "presence_penalty", "frequency_penalty", "logit_bias",
         "logprobs", "top_logprobs", "seed", "tools", "tool_choice", "parallel_tool_calls", "response_format",
         "reasoning_effort"}  # fmt: skip


class Driver:
    def __init__(self, base: str) -> None:
        self.base = base + "/v1"

    def ask(self, body: dict[str, Any], stream: bool) -> dict[str, Any]:
        named = {k: v for k, v in body.items() if k in NAMED}
        extra = {k: v for k, v in body.items() if k not in NAMED and k not in ("model", "messages")}
        model = ChatOpenAI(
            model=body["model"], base_url=self.base, api_key="none", max_retries=0, extra_body=extra,
            stream_usage=True, use_responses_api=False,
        )  # fmt: skip
        try:
            if not stream:
                return self._reply(model.invoke(body["messages"], **named))
            joined: Any = None
            for chunk in model.stream(body["messages"], **named):
                joined = chunk if joined is None else joined + chunk
            assert isinstance(joined, AIMessageChunk)
            return self._reply(joined)
        except openai.APIStatusError as e:
            return error(e.status_code, e.message, e.body)

    def _reply(self, message: AIMessage) -> dict[str, Any]:
        usage = message.usage_metadata or {}
        details = usage.get("output_token_details", {}), usage.get("input_token_details", {})
        out: dict[str, Any] = {
            "text": str(message.text),
            "calls": [[c["name"], c["args"]] for c in message.tool_calls],
            "finish": message.response_metadata.get("finish_reason"),
            "usage": {"prompt": usage.get("input_tokens"), "completion": usage.get("output_tokens"),
                      "reasoning": details[0].get("reasoning"), "cached": details[1].get("cache_read")},
        }  # fmt: skip
        if logprobs := (message.response_metadata.get("logprobs") or {}).get("content"):
            out["tokens"] = [t["token"] for t in logprobs]
            out["alternatives"] = len(logprobs[0]["top_logprobs"])
        return {"neutral": out}


if __name__ == "__main__":
    serve(Driver(sys.argv[1]))
