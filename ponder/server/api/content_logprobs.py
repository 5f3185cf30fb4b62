"""Log-probabilities of exactly the content that a reply shows.

The engine reports every id that it sampled. Some are no content: the end of the turn, newlines of the template, calls,
a stop string and what is after it. Content is what comes out as text, so the ids are laid along that text: the bytes
of the entries spell it. An id of which only a part is shown (`" STOP"` before the stop string `STOP`) has that part.
"""

import codecs
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from msgspec import structs

from ponder.core.event import Event, Finish, TextDelta, TokenLogprob, ToolCallDone
from ponder.text.calls.open_call import CLOSE

TAGS = (b"<think>", b"</think>")  # each of them one id; as letters they are several


@dataclass
class _Run:
    """Ids whose bytes end together at the end of a character. text[start:end] has been shown."""

    entries: list[TokenLogprob]
    text: str
    start: int = 0
    end: int = 0

    def shown(self) -> list[TokenLogprob]:
        """The entries, cut to what was shown; none if that is nothing."""
        if self.end - self.start == len(self.text):
            return self.entries
        low, high = (len(self.text[:at].encode()) for at in (self.start, self.end))
        out, at = [], 0
        for entry in self.entries:
            part = entry.bytes[max(0, low - at) : max(0, high - at)]
            out += [structs.replace(entry, bytes=part)] if part else []
            at += len(entry.bytes)
        return out


class ContentLogprobs:
    """Of one choice. `note` an id, `show` text as it goes out, and get the entries that are content for certain."""

    def __init__(self) -> None:
        self._runs: deque[_Run] = deque()
        self._open: list[TokenLogprob] = []  # ids of a character that is not yet whole
        self._early = ""  # shown of them already

    def note(self, entry: TokenLogprob) -> None:
        if entry.bytes in TAGS:
            return
        if self._open and entry.bytes and entry.bytes[0] & 0xC0 != 0x80:  # the character before it stays cut off
            self._close()
        self._open.append(entry)
        if _ends_whole(b"".join(e.bytes for e in self._open)):
            self._close()

    def _close(self) -> None:
        text = b"".join(entry.bytes for entry in self._open).decode("utf-8", "replace")
        self._runs.append(_Run(self._open, text))
        self._open = []

    def show(self, text: str) -> list[TokenLogprob]:
        out: list[TokenLogprob] = []
        if self._open and text.endswith("\ufffd"):  # cut off by the end
            self._close()
        text, self._early = self._early + text, ""
        while text and self._runs:
            run = self._runs[0]
            rest = run.text[run.end :]
            if text.startswith(rest):
                run.end, text = len(run.text), text[len(rest) :]
                out += self._pop()
            elif rest.startswith(text):
                run.end, text = run.end + len(text), ""
            elif run.end > run.start:  # the rest of it was held back, and dropped
                out += self._pop()
            else:
                self._skip(run, text)
        if self._open and not self._runs:
            self._early = text
        return out

    def call(self) -> list[TokenLogprob]:
        """A call was read: its ids are no content."""
        out = self._rest()
        while self._runs and self._runs.popleft().entries[-1].bytes != CLOSE.encode():
            pass
        return out

    def finish(self) -> list[TokenLogprob]:
        """Nothing more is shown."""
        if self._open:
            self._close()
        return self._rest()

    def _rest(self) -> list[TokenLogprob]:
        """Of what was shown so far: the last run may be there in part."""
        out = self.show("")
        return out + (self._pop() if self._runs and self._runs[0].end else [])

    def _pop(self) -> list[TokenLogprob]:
        return self._runs.popleft().shown()

    def _skip(self, run: _Run, text: str) -> None:
        """The run was not shown, or not the newlines that it begins with."""
        rest = run.text.lstrip("\n")
        if rest and rest != run.text and (text.startswith(rest) or rest.startswith(text)):
            run.start = run.end = len(run.text) - len(rest)
        else:
            self._runs.popleft()


def _ends_whole(raw: bytes) -> bool:
    """Whether the bytes end at the end of a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(raw)
    return not decoder.getstate()[0]


async def content_only(events: AsyncIterator[tuple[int, Event]]) -> AsyncIterator[tuple[int, Event]]:
    """The same events; each entry of the answer comes just before the text that it is part of, or not at all."""
    choices: dict[int, ContentLogprobs] = {}
    async for choice, event in events:
        if isinstance(event, TokenLogprob) and not event.reasoning:
            choices.setdefault(choice, ContentLogprobs()).note(event)
            continue
        if (content := choices.get(choice)) is not None:
            match event:
                case TextDelta(text):
                    found = content.show(text)
                case ToolCallDone():
                    found = content.call()
                case Finish():
                    found = content.finish()
                case _:
                    found = []
            for entry in found:
                yield choice, entry
        yield choice, event
