"""Parts of a conversation that a text model has nothing for: images, sound, files, what other servers did.

Agents send the whole history again with every request, so a part that is refused once ends their session for good.
In what was said before, and in what tools gave, a short text stands in its place. What the user asks now is another
matter: a question about a picture that nobody sees must not be answered, so there it is an error.
"""

import json
from collections.abc import Sequence
from typing import Any

_KINDS = {"image": "an image", "audio": "a sound", "video": "a video", "file": "a file", "document": "a document"}


def text_of(part: Any) -> str | None:
    """The text that a part holds; None for one without."""
    match part:
        case str():
            return part
        case {"text": str(text)} | {"refusal": str(text)}:
            return text
        case {"source": {"type": "text", "data": str(text)}}:
            return text
        case {"source": {"type": "content", "content": inner}} | {"type": "search_result", "content": inner}:
            return inner if isinstance(inner, str) else "".join(map(_inner, inner if isinstance(inner, list) else ()))
    return None


def _inner(part: Any) -> str:
    """Of a part in a part. What lies deeper still is nobody's text: a body can be as deep as its sender likes."""
    match part:
        case str():
            return part
        case {"text": str(text)}:
            return text
    return note(part)


def text_or_note(part: Any) -> str:
    return note(part) if (text := text_of(part)) is None else text


def note(part: Any) -> str:
    """What stands in the place of a part without text."""
    kind = str(part.get("type", "part")) if isinstance(part, dict) else type(part).__name__
    what = next((name for word, name in _KINDS.items() if word in kind), f"a part of type {kind!r}")
    return f"[{what} was left out: this model reads text only]"


def summary(item: dict[str, Any], keys: Sequence[str] = ("action", "name", "query", "arguments")) -> str:
    """What stands in the place of something that another server did; nobody here knows what came of it."""
    said = {key: item[key] for key in keys if item.get(key)}
    about = " " + json.dumps(said, ensure_ascii=False)[:200] if said else ""
    return f"[{item.get('type', 'an item')}{about} was left out: nothing is known of it here]"


def question_begins(roles: Sequence[str]) -> int:
    """Where what the user asks now begins in a conversation; its length if it ends with what tools gave, or with what
    agents add to that in the user's name. roles: "assistant", "tool", or anybody else."""
    at = len(roles)
    while at > 0 and roles[at - 1] not in ("assistant", "tool"):
        at -= 1
    return at if at == 0 or roles[at - 1] == "assistant" else len(roles)


def readable(content: Any, *, asked: bool) -> Any:
    """A message's content with a text in every part. asked: one without stays as it is, for who reads it to refuse."""
    if not isinstance(content, list):
        return content
    return [
        part if asked and text_of(part) is None else {"type": "text", "text": text_or_note(part)} for part in content
    ]
