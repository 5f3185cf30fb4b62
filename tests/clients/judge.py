"""Does a neutral reply (readers.py) say what the case wants? Raises AssertionError that shows both."""

import json
from typing import Any

Reply = dict[str, Any]


def judge(want: dict[str, Any], reply: Reply, hidden: frozenset[str] = frozenset()) -> None:
    """hidden: what this client does not show; its absence is no fault."""
    if "error" in want:
        status, field = want["error"]
        assert "error" in reply, f"wanted {status} naming {field!r}, got {reply}"
        error = reply["error"]
        assert error["status"] == status, error
        assert field in f"{error['field']} {error['message']}", f"{field!r} is not named: {error}"
        return
    assert "error" not in reply, reply
    _sound(reply)
    for key, value in want.items():
        place = {"json": "text", "text_has": "text", "text_lacks": "text"}.get(key, key)
        if place not in reply:
            assert place in hidden, f"{place} is missing: {reply}"
            continue
        _compare(key, value, reply[place], hidden, reply)


def _compare(key: str, value: Any, got: Any, hidden: frozenset[str], reply: Reply) -> None:
    match key:
        case "json":
            assert json.loads(got) == value, reply
        case "text_has":
            assert value in got, reply
        case "text_lacks":
            assert value not in got, reply
        case "warnings":
            assert all(any(part in warning for warning in got) for part in value), reply
        case "usage":
            for name, count in value.items():
                if name not in got:
                    assert f"usage.{name}" in hidden, f"usage.{name} is missing: {reply}"
                elif count is True:
                    assert got[name] > 0, reply
                else:
                    assert (got[name] or 0) == count, reply
        case "effective":
            assert got | value == got, f"wanted {value}, got {got}"
        case _:
            assert got == value, f"{key}: wanted {value!r}, got {reply}"


def _sound(reply: Reply) -> None:
    """What holds for every answer, of any model."""
    assert isinstance(reply.get("text"), str), reply
    assert reply.get("finish", "stop") in ("stop", "length", "tool_calls"), reply
    assert all(isinstance(arguments, dict) and name for name, arguments in reply.get("calls", [])), reply
    assert reply.get("reasoning") is None or reply["reasoning"].strip(), "empty thoughts are none"
    usage = reply.get("usage", {})
    if usage.get("completion") is not None:
        assert usage["prompt"] > 0 and usage["completion"] >= (usage.get("reasoning") or 0), reply
        assert (usage.get("cached") or 0) <= usage["prompt"], reply
