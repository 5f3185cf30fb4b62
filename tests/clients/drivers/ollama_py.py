"""The official `ollama` package."""

from typing import Any

import ollama
from lines import error


class Driver:
    def __init__(self, base: str) -> None:
        self.client = ollama.Client(base)

    def ask(self, body: dict[str, Any], stream: bool) -> dict[str, Any]:
        try:
            reply = self.client.chat(**body, stream=stream)
            return {"chunks": [c.model_dump() for c in reply]} if stream else {"chunks": [reply.model_dump()]}
        except ollama.ResponseError as e:
            return error(e.status_code, e.error, None)
