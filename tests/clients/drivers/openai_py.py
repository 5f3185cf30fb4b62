"""The official `openai` package."""

import inspect
from typing import Any

import openai
from lines import error, serve


class Driver:
    def __init__(self, base: str) -> None:
        self.client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
        self._named = set(inspect.signature(self.client.chat.completions.create).parameters)

    def ask(self, body: dict[str, Any], stream: bool) -> dict[str, Any]:
        named = {k: v for k, v in body.items() if k in self._named}
        extra = {k: v for k, v in body.items() if k not in self._named}
        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        try:
            reply = self.client.chat.completions.create(**named, **options, extra_body=extra)
            return {"chunks": [c.model_dump() for c in reply]} if stream else {"whole": reply.model_dump()}
        except openai.APIStatusError as e:
            return error(e.status_code, e.message, e.body)


if __name__ == "__main__":
    import sys

    serve(Driver(sys.argv[1]))
