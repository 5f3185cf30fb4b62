"""`litellm`, which calls us as one of its OpenAI-compatible providers."""

import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet for prices
import litellm
import openai
from lines import error, serve

NAMED = {"messages", "temperature", "top_p", "n", "stop", "max_tokens", "presence_penalty", "frequency_penalty",
         "logit_bias", "logprobs", "top_logprobs", "seed", "tools", "tool_choice", "parallel_tool_calls",
         "response_format", "max_completion_tokens"}  # fmt: skip


class Driver:
    def __init__(self, base: str) -> None:
        self.base = base + "/v1"

    def ask(self, body: dict[str, Any], stream: bool) -> dict[str, Any]:
        named = {k: v for k, v in body.items() if k in NAMED}
        extra = {k: v for k, v in body.items() if k not in NAMED and k != "model"}
        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        try:
            reply = litellm.completion(
                "openai/" + body["model"], api_base=self.base, api_key="none", num_retries=0, extra_body=extra, **named,
                **options,
            )  # fmt: skip
            return {"chunks": [c.model_dump() for c in reply]} if stream else {"whole": reply.model_dump()}
        except openai.APIStatusError as e:  # litellm's errors are subclasses of it
            return error(e.status_code, str(e), e.body)


if __name__ == "__main__":
    serve(Driver(sys.argv[1]))
