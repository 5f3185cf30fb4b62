"""Tool calls as Qwen3-Coder writes them: `<function=NAME>`, `<parameter=KEY>`, a value as it stands, the closing tags.

    schemas = {"add": {"properties": {"a": {"type": "integer"}}}}
    parse_xml("<function=add>\\n<parameter=a>\\n2\\n</parameter>\\n</function>", schemas)  # ToolCall("add", '{"a": 2}')

A value is text; what JSON it means, only the tool's schema says. The rules are those of the published tool parser
(qwen3coder): a string is taken as it stands, a value that does not fit its type stays a string, for the tool to
complain of. `</parameter>` ends a value where another parameter, `</function>` or the end of the call follows; a value
may so hold a whole call as an example.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ponder.core.message import ToolCall
from ponder.text.calls.tool_calls import are_arguments
from ponder.text.schema_values import json_value, properties_of

Schemas = Mapping[str, Any]  # name of a tool -> the JSON schema of its parameters
NO_SCHEMAS: Schemas = {}

FUNCTION, PARAMETER = "<function=", "<parameter="
END_FUNCTION, END_PARAMETER = "</function>", "</parameter>"
_HEAD = re.compile(r"\s*<function=([^<>{}\"'\s]+)>")
_SPACE = re.compile(r"\s*")
_OPENING = re.compile(r"<parameter=([^<>\n]+)>")
_MARK = re.compile(r"</parameter>|(?<=\n)<parameter=")  # a nested opening stands at the beginning of a line
_AFTER = re.compile(r"\s*(?:<parameter=|</function>|\Z)")  # what follows the end of a value
_LAST = re.compile(r"</parameter>\s*</function>\s*\Z")
_LONGEST = max(map(len, (PARAMETER, END_PARAMETER, END_FUNCTION)))


def schemas_of(tools: Iterable[Mapping[str, Any]]) -> Schemas:
    """The parameters of tools in OpenAI's form, or of the functions alone; what has no name is left out."""
    functions = [f for tool in tools if isinstance(f := tool.get("function", tool), Mapping)]
    return {f["name"]: f.get("parameters") or {} for f in functions if isinstance(f.get("name"), str)}


def parse_xml(body: str, schemas: Schemas, *, closed: bool = True) -> ToolCall | None:
    """A call from what stands between the tags, None when it is not well formed. closed: the call has its closing tag;
    then `</function>` may be missing, as may `</parameter>` before the next one, as other servers have it."""
    head = _HEAD.match(body)
    if head is None:
        return None
    schema = schemas.get(head[1])
    known = properties_of(schema)
    values: dict[str, str] = {}
    at = head.end()
    while True:
        at = _SPACE.match(body, at).end()  # type: ignore[union-attr]  # matches anything
        if body.startswith(END_FUNCTION, at):
            whole = not body[at + len(END_FUNCTION) :].strip()
            break
        opening = _OPENING.match(body, at)
        if opening is None:
            whole = closed and at == len(body)
            break
        found = _value(body, opening.end(), [k for k in known if k not in values and k != opening[1]])
        if found is None:
            return None
        text, at = found
        values[opening[1]] = json_value(text, known.get(opening[1]), schema)
    if not whole:
        return None
    pairs = (f"{json.dumps(key, ensure_ascii=False)}: {value}" for key, value in values.items())
    arguments = "{" + ", ".join(pairs) + "}"
    return ToolCall(head[1], arguments) if are_arguments(arguments) else None


def _value(body: str, start: int, unseen: list[str]) -> tuple[str, int] | None:
    """(the value that begins here, where it ends). unseen: names of parameters that may follow a value without its
    closing tag."""
    depth = 0
    for mark in _MARK.finditer(body, start):
        if mark[0] == PARAMETER:
            depth += 1
        elif depth:
            depth -= 1
        elif _AFTER.match(body, mark.end()):
            return _stripped(body[start : mark.start()]), mark.end()
    openings = (m for m in _OPENING.finditer(body, start) if m[1] in unseen and body[m.start() - 1] in "\n>")
    following = next(openings, None)
    if following is not None:
        return _stripped(body[start : following.start()]), following.start()
    last = _LAST.search(body, start)
    if last is not None:
        return _stripped(body[start : last.start()]), last.start() + len(END_PARAMETER)
    end = body.rfind(END_FUNCTION, start)
    return (_stripped(body[start:end]), end) if end >= 0 and not body[end + len(END_FUNCTION) :].strip() else None


def _stripped(text: str) -> str:
    """Without the line breaks of the layout."""
    return text.removeprefix("\n").removesuffix("\n")


class ValueScanner:
    """Follows a call that arrives in pieces. inside: whether a value is open, if the call ends here. rest: the text
    after `</function>` once `done`. Linear time."""

    def __init__(self) -> None:
        self.done = False
        self.rest = ""
        self._text = ""
        self._in_value = False
        self._ending = False  # in a value, after what may be its end
        self._depth = 0

    @property
    def inside(self) -> bool:
        return self._in_value and not self._ending

    def feed(self, text: str) -> None:
        if self.done:
            self.rest += text
            return
        self._text += text
        while self._step():
            pass

    def _step(self) -> bool:
        """Whether something was decided; what is not waits in _text."""
        if self._ending:
            return self._after_value()
        if self._in_value:
            return self._value_mark()
        found = re.search(f"{PARAMETER}|{END_FUNCTION}", self._text)
        if found is None:
            self._text = self._text[-_LONGEST:]
            return False
        self._text = self._text[found.end() :]
        if found[0] == PARAMETER:
            self._in_value, self._depth = True, 0
            return True
        self.done, self.rest, self._text = True, self._text, ""
        return False

    def _value_mark(self) -> bool:
        mark = _MARK.search(self._text)
        if mark is None:
            self._text = self._text[-_LONGEST:]
            return False
        self._text = self._text[mark.end() :]
        if mark[0] == PARAMETER:
            self._depth += 1
        elif self._depth:
            self._depth -= 1
        else:
            self._ending = True
        return True

    def _after_value(self) -> bool:
        self._text = self._text.lstrip()
        if not self._text:
            return False
        for mark in (PARAMETER, END_FUNCTION):
            if self._text.startswith(mark):
                self._in_value = self._ending = False
                return True
            if mark.startswith(self._text):
                return False
        self._ending = False
        return True
