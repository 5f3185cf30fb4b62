"""A call as XML while it is written: what `BegunCall` is for JSON. What is said is a beginning of the JSON that
`parse_xml` makes of the arguments in the end.

A value that can be nothing but a text is said as it comes, without what may be the layout's line break or a closing
tag; any other when it is complete. Whether `</parameter>` ends a value is known by what follows. Where another
parameter or the end of the function stands in an open value, what it belongs to is known at the end of the call only:
nothing more is said.
"""

import json
import re

from ponder.text.calls.begun_call import LONGEST_HEAD, Begun
from ponder.text.calls.xml_calls import END_FUNCTION, END_PARAMETER, PARAMETER, Schemas
from ponder.text.schema_values import is_text, json_value, parameter

_HEAD = re.compile(r"\s*<function=([^<>{}\"'\s]+)>")
_OPENING = re.compile(r"\s*<parameter=([^<>\n]+)>")
_MARK = re.compile(rf"{END_PARAMETER}|{END_FUNCTION}|(?<=\n){PARAMETER}")
_AFTER = re.compile(rf"\s*(?:{PARAMETER}|{END_FUNCTION})")
_HELD = (f"\n{END_PARAMETER}", END_PARAMETER, f"\n{END_FUNCTION}", END_FUNCTION, f"\n{PARAMETER}")


class BegunXml(Begun):
    def __init__(self, schemas: Schemas) -> None:
        super().__init__()
        self._schemas = schemas
        self._text = ""  # what is not read yet
        self._keys: set[str] = set()
        self._key: str | None = None  # of the open value
        self._value = ""  # what was read of it, if it cannot be said before its end
        self._empty = True  # nothing of it was read: a line break is the layout's

    def feed(self, text: str) -> None:
        self._text += text
        while not self.over and self._step():
            pass

    def _step(self) -> bool:
        """Whether something was read."""
        if self._key is not None:
            return self._in_value(self._key)
        found = (_HEAD if self.name is None else _OPENING).match(self._text)
        if found is None:
            left = self._text.lstrip()
            self.over = ">" in left or len(left) > LONGEST_HEAD
            return False
        self._text = self._text[found.end() :]
        if self.name is None:
            self.name = found[1]
            return True
        self.over = found[1] in self._keys  # the later one counts, in the place of the first
        if not self.over:
            self._key, self._value, self._empty = found[1], "", True
            before = ", " if self._keys else "{"
            self.say(f"{before}{json.dumps(self._key, ensure_ascii=False)}: ")
            self._keys.add(self._key)
        return True

    def _in_value(self, key: str) -> bool:
        mark = _MARK.search(self._text)
        if mark is None:
            held = max((n for tag in _HELD for n in range(1, len(tag)) if self._text.endswith(tag[:n])), default=0)
            self._read(key, self._text[: len(self._text) - held])
            self._text = self._text[len(self._text) - held :]
            return False
        if mark[0] != END_PARAMETER:
            self._read(key, self._text[: mark.start()].removesuffix("\n"))
            self.over = True
            return False
        rest = self._text[mark.end() :]
        if _AFTER.match(rest):
            self._close(key, self._text[: mark.start()])
            self._key, self._text = None, rest
            return True
        if any(tag.startswith(rest.lstrip()) for tag in (PARAMETER, END_FUNCTION)):
            self.over = len(rest) > LONGEST_HEAD
            return False  # what follows is not known yet
        self._read(key, self._text[: mark.end()])
        self._text = rest
        return True

    def _read(self, key: str, text: str) -> None:
        """More of the value."""
        if not text:
            return
        if self._empty:
            text = text.removeprefix("\n")
            if is_text(*parameter(self._schemas, self.name, key)):
                self.say('"')
        self._empty = False
        if is_text(*parameter(self._schemas, self.name, key)):
            self.say(json.dumps(text, ensure_ascii=False)[1:-1])
        else:
            self._value += text

    def _close(self, key: str, text: str) -> None:
        """text: the rest of the value."""
        if self._empty:
            text = text.removeprefix("\n")
        text = text.removesuffix("\n")
        if is_text(*parameter(self._schemas, self.name, key)):
            self.say(json.dumps(text, ensure_ascii=False)[not self._empty :])
        else:
            self.say(json_value(self._value + text, *parameter(self._schemas, self.name, key)))
