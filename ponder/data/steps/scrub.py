"""Addresses, numbers and keys of people become a placeholder, counted by kind."""

import re
from collections.abc import Callable

KINDS: dict[str, tuple[re.Pattern[str], str]] = {
    "key": (
        re.compile(r"\b(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abp]|hf|AKIA)[-_]?(?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{16,}\b"),
        "<KEY>",
    ),
    "email": (re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}\b"), "<EMAIL>"),
    # what stands before it is looked at afterwards: a pattern that begins with a digit is four times as fast
    "address": (re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"), "<IP>"),
    "phone": (
        re.compile(r"(?<![\w.+-])\+\d{1,3}[ -]?(?:\(\d{1,4}\)[ -]?)?\d{2,4}(?:[ -]?\d{2,4}){2,4}(?!\w)"),
        "<PHONE>",
    ),
}
NEEDS = {"email": "@", "phone": "+"}
"""Without this character a text has none of the kind, which most texts have not."""
EXAMPLES = re.compile(r"@(?:[a-z0-9-]+\.)*example\.(?:com|org|net)$", re.IGNORECASE)
LOCAL = ("0.", "127.", "10.", "192.168.", "255.", "192.0.2.", "198.51.100.", "203.0.113.")


def scrub(text: str, found: dict[str, int]) -> str:
    """found: counts by kind, added to. What documentation uses as examples stays."""
    for kind, (pattern, placeholder) in KINDS.items():
        if NEEDS.get(kind, "") in text:
            text = pattern.sub(_replaced(kind, placeholder, found), text)
    return text


def _replaced(kind: str, placeholder: str, found: dict[str, int]) -> Callable[[re.Match[str]], str]:
    def one(match: re.Match[str]) -> str:
        value = match[0]
        if EXAMPLES.search(value) or (kind == "address" and not _of_somebody(match)):
            return value
        found[kind] = found.get(kind, 0) + 1
        return placeholder

    return one


def _of_somebody(match: re.Match[str]) -> bool:
    """Four bytes that no digit or dot stands before: no part of a version or a longer number, and not a local one."""
    before = match.string[match.start() - 1 : match.start()]
    in_range = all(int(part) < 256 for part in match[0].split("."))
    return in_range and before not in (*"0123456789.",) and not match[0].startswith(LOCAL)
