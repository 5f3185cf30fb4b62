"""A model behind an OpenAI-compatible endpoint, asked once for each thing: answers are kept by what was asked.

`ponder serve` is such an endpoint, and so are vLLM, llama.cpp and the services. A run that was interrupted, or whose
model failed half-way, pays for nothing twice.
"""

import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ponder.core.atomic import replacing
from ponder.core.errors import UserError

TRIES = 5
BUSY = frozenset((408, 409, 425, 429))  # and everything from 500 on: it may answer later
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)


class Endpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    """Up to /v1."""
    model: str
    key_file: str = ""
    """A file with the key; empty: none is sent."""
    max_tokens: int = 4096
    seconds: float = 300.0
    """For one answer."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UserError(f"url is the address of an endpoint such as http://127.0.0.1:8000/v1, not {self.url!r}",
                            param="url")  # fmt: skip


class Asked:
    """answers: the folder where they are kept. pause: seconds before the second try, doubled before each later one."""

    def __init__(self, endpoint: Endpoint, answers: Path, pause: float = 1.0) -> None:
        self._endpoint, self._answers, self._pause = endpoint, answers, pause

    def ask(self, content: str | list[dict[str, Any]]) -> str | None:
        """What the model says; None for an answer that was cut. Raises UserError when it cannot be had."""
        what = msgspec.json.encode([self._endpoint.model, self._endpoint.max_tokens, content])
        name = hashlib.sha256(what).hexdigest()
        kept = self._answers / name[:2] / f"{name}.json"
        if not kept.is_file():
            answer = self._answer(content)
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing(kept) as file:
                file.write(json.dumps({"model": self._endpoint.model, "answer": answer}, ensure_ascii=False).encode())
        answer = json.loads(kept.read_bytes())["answer"]
        return None if answer is None else str(answer)

    def _answer(self, content: str | list[dict[str, Any]]) -> str | None:
        import httpx2

        body = {
            "model": self._endpoint.model, "messages": [{"role": "user", "content": content}], "temperature": 0,
            "max_tokens": self._endpoint.max_tokens,
        }  # fmt: skip
        why = ""
        for n in range(TRIES):
            if n:
                time.sleep(self._pause * 2 ** (n - 1))
            try:
                reply = httpx2.post(
                    f"{self._endpoint.url.rstrip('/')}/chat/completions", json=body, headers=self._headers(),
                    timeout=self._endpoint.seconds,
                )  # fmt: skip
            except httpx2.RequestError as e:
                why = str(e) or type(e).__name__
                continue
            if reply.status_code == 200:
                return _said(reply.content, self._endpoint)
            why = f"status {reply.status_code}: {' '.join(reply.text.split())[:200]}"
            if reply.status_code not in BUSY and reply.status_code < 500:
                break
        raise UserError(
            f"{self._endpoint.model} at {self._endpoint.url} does not answer ({why}); what it has answered is kept, "
            "and the same command goes on from there",
            param="url",
        )

    def _headers(self) -> dict[str, str]:
        if not self._endpoint.key_file:
            return {}
        try:
            return {"Authorization": f"Bearer {Path(self._endpoint.key_file).read_text().strip()}"}
        except OSError as e:
            raise UserError(f"key_file {self._endpoint.key_file}: {e.strerror}", param="key_file") from e


def _said(raw: bytes, endpoint: Endpoint) -> str | None:
    try:
        choice = json.loads(raw)["choices"][0]
        text = choice["message"]["content"] or ""
        cut = choice.get("finish_reason") == "length"
    except (ValueError, LookupError, TypeError, AttributeError) as e:
        raise UserError(
            f"{endpoint.url} is no OpenAI-compatible endpoint: it answers {raw[:100]!r}", param="url"
        ) from e
    return None if cut else _THOUGHT.sub("", str(text)).strip()
