"""The official `anthropic` package. Streams are put together by the package itself."""

from typing import Any

import anthropic
from lines import error


class Driver:
    def __init__(self, base: str) -> None:
        self.client = anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)

    def ask(self, body: dict[str, Any], stream: bool) -> dict[str, Any]:
        # this client has no `temperature` of its own any more
        named = {k: v for k, v in body.items() if k not in ("temperature", "top_p", "top_k")}
        extra = {k: v for k, v in body.items() if k in ("temperature", "top_p", "top_k")}
        try:
            if not stream:
                return {"whole": self.client.messages.create(**named, extra_body=extra).model_dump()}
            with self.client.messages.stream(**named, extra_body=extra) as events:
                ends = [e.delta.model_dump() for e in events if e.type == "message_delta"]
                return {"whole": events.get_final_message().model_dump() | ends[-1]}
        except anthropic.APIStatusError as e:
            return error(e.status_code, e.message, e.body)
