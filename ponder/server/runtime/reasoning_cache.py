"""Thoughts of this server, for clients that do not send them back (HC-4): `ponder serve --restore-thoughts MB`.

The template keeps thoughts of a tool loop, that is after the last question, and most clients drop `reasoning_content`
between two calls. A thought is kept under a hash of who asked (the API key), the model, and the conversation up to and
with the message that it led to, as everybody sees it: roles, texts, names and arguments of calls. A message that comes
back without thoughts and has that hash gets them again; one that was edited, or stands after something edited, has
another hash. In memory only; what was not used for longest goes first.
"""

import hashlib
import json
from collections import OrderedDict
from threading import Lock

from msgspec import structs

from ponder.core.client import CLIENT
from ponder.core.event import Event, Finish, TokenLogprob, message_of
from ponder.core.message import Message, Reasoning
from ponder.core.request import ChatRequest
from ponder.text.chat.render import last_query

ENTRY = 200  # bytes of memory that an entry takes besides its text
ENTRIES = 100_000


class ReasoningCache:
    """Thread-safe. limit: bytes that all of them may take. restored: how many were restored, ever."""

    def __init__(self, limit: int, entries: int = ENTRIES) -> None:
        self.limit, self.entries = limit, entries
        self.restored = 0
        self._texts: OrderedDict[bytes, bytes] = OrderedDict()  # the one used last is at the end
        self._size = 0
        self._lock = Lock()

    def put(self, key: bytes, text: str) -> None:
        raw = text.encode()
        with self._lock:
            self._drop(key)
            self._texts[key] = raw
            self._size += len(raw) + ENTRY
            while self._size > self.limit or len(self._texts) > self.entries:
                self._drop(next(iter(self._texts)))

    def get(self, key: bytes) -> str | None:
        with self._lock:
            if (raw := self._texts.get(key)) is None:
                return None
            self._texts.move_to_end(key)
            self.restored += 1
            return raw.decode()

    def _drop(self, key: bytes) -> None:
        if (raw := self._texts.pop(key, None)) is not None:
            self._size -= len(raw) + ENTRY


class ReasoningRestorer:
    """One request and its replies: `restored` is the request with its thoughts, `follow` keeps those of the replies."""

    def __init__(self, cache: ReasoningCache, model: str, request: ChatRequest) -> None:
        """Belongs to the client in whose context it is made."""
        self.warnings: tuple[str, ...] = ()
        self._cache, self._request = cache, request
        self._hash = hashlib.sha256(json.dumps([CLIENT.get(), model]).encode())
        self._events: dict[int, list[Event]] = {}

    def restored(self) -> ChatRequest:
        """Only where the template writes them. To be called once, before `follow`."""
        request = self._request
        first = 0 if request.history == "keep" else last_query(request.messages) + 1
        messages, count = list(request.messages), 0
        for n, message in enumerate(request.messages):
            self._hash.update(_visible(message))
            if n < first or message.role != "assistant" or message.reasoning is not None or "</think>" in message.text:
                continue
            if (text := self._cache.get(self._hash.digest())) is not None:
                messages[n] = structs.replace(message, parts=(Reasoning(text), *message.parts))
                count += 1
        if count:
            self.warnings = (f"the thoughts of {count} messages, which the request left out, were restored",)
        return structs.replace(request, messages=tuple(messages))

    def follow(self, choice: int, event: Event) -> None:
        if isinstance(event, TokenLogprob):
            return
        events = self._events.setdefault(choice, [])
        events.append(event)
        if isinstance(event, Finish) and (thoughts := (message := message_of(events)).reasoning):
            whole = self._hash.copy()
            whole.update(_visible(message))
            self._cache.put(whole.digest(), thoughts)


def _visible(message: Message) -> bytes:
    """What every client sends back, whatever its dialect: ids of calls are replaced by some, and not here."""
    calls = [(call.name, _value(call.arguments)) for call in message.tool_calls]
    return json.dumps([message.role, message.text, calls]).encode() + b"\n"


def _value(arguments: str) -> str:
    """Clients parse arguments and write them again, in their own way; JavaScript makes 1.0 a 1."""
    try:
        return json.dumps(json.loads(arguments, parse_float=_number), sort_keys=True)
    except (ValueError, RecursionError):  # not JSON: as it stands
        return arguments


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value
