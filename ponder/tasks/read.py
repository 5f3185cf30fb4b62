"""Reads the one answer that a text gives: a number, a name from a list, a row of letters.

The rule is the same for all: a text that gives no answer, or two that differ, gives none (None). So "2 or 3" is never
right, whichever of them the key is. What is boxed counts most, then what is called the answer, then what stands in
the text.
"""

import re
from collections.abc import Callable, Iterable, Sequence

NUMBER = r"(?<![\w.,/-])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w/%]|[.,-]-?\d)"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
CALLED = re.compile(r"\banswer\b(?:\s+(?:is|would be|must be)\b)?\s*:?\s*((?:[^.;\n]|\.(?=\d))*)", re.I)
# In such a sentence the number or name is what the answer is not, or one of several;
HEDGED = re.compile(r"\b(?:not|n't|never|neither|nor|or|either|than|between|least|most|unlike|except)\b", re.I)

# such a sentence takes back what was said before.
RETRACTED = re.compile(r"(?:no|not|nope|wrong|wait|actually|or|sorry)\b", re.I)
Find = Callable[[str], list[str]]  # the candidates in a piece of text, in canonical form


def clean(text: str) -> str:
    """Without the marks of Markdown and LaTeX, with the plain minus and commas."""
    text = text.replace("{,}", ",").replace("\u2212", "-").replace("\u2019", "'").replace("n't", " not")
    text = re.sub(r"\\(?:text|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\\[,;! ]|[*_`$\"\u201c\u201d#]", " ", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def one(found: Iterable[str]) -> str | None:
    """The value of all that were found, if it is the same; "" stands for a place without one."""
    values = set(found)
    return (values.pop() or None) if len(values) == 1 else None


def read(text: str, find: Find, claim: str) -> str | None:
    """claim: the pattern of what says that its group is the answer, where a sentence names several candidates."""
    if boxed := BOXED.findall(text):
        return one(value for part in boxed for value in find(clean(part)) or [""])
    said = clean(text)
    called = [part for part in CALLED.findall(said) if find(part)]
    if any(HEDGED.search(part) for part in called):
        return None
    if called:
        return one(value for part in called for value in _stated([part], find, claim) or [""])
    sentences = re.split(r"(?<=[.!?])\s+|\n+", said)
    named = [sentence for sentence in sentences if find(sentence) and not sentence.endswith("?")]
    if any(HEDGED.search(s) for s in named) or any(RETRACTED.match(s) for s in sentences[1:]):
        return None
    return one(_stated(named, find, claim))


def _stated(parts: Sequence[str], find: Find, claim: str) -> list[str]:
    """The only candidate; of several, those that are claimed."""
    found = [value for part in parts for value in find(part)]
    if len(set(found)) <= 1:
        return found
    return [value for part in parts for match in re.finditer(claim, part) for value in find(_group(match))]


def _group(match: re.Match[str]) -> str:
    """The group that took part."""
    return next(group for group in match.groups() if group is not None)


def read_number(text: str) -> str | None:
    """A whole number, as `str(int)` writes it."""
    claims = rf"(?:=|\bis|\bare|\bequals|\bmakes|\bgives)\s*({NUMBER})|({NUMBER}) (?:times|occurrences|instances)\b"
    return read(text, _numbers, claims)


def _numbers(text: str) -> list[str]:
    found = [_integer(number) for number in re.findall(NUMBER, text)]
    if found or re.search(r"\d", text):
        return found
    word = text.lower().strip(" .!:")
    if word in WORDS:
        return [str(WORDS.index(word))]
    # "one" is seldom a number inside a sentence
    return [str(WORDS.index(w)) for w in re.findall(r"[a-z]+", text.lower()) if w in WORDS and w != "one"]


def _integer(number: str) -> str:
    """ "1,234.0" -> "1234"; what is no whole number stays as it is, and so equals no key."""
    whole, _, rest = number.replace(",", "").partition(".")
    leading = len(whole.lstrip("-")) > 1 and whole.lstrip("-").startswith("0")
    return number if leading or rest.strip("0") else str(int(whole))


def read_choice(text: str, options: str) -> str | None:
    """One of the capital letters in `options`; a small one counts where nothing else is said."""

    def find(part: str) -> list[str]:
        alone = part.strip(" .:()")
        if len(alone) == 1 and alone.upper() in options:
            return [alone.upper()]
        return re.findall(rf"(?<![\w'])[{options}](?![\w'])", part)

    return read(text, find, rf"(?:=|:|\bis|\bholds|\bstands)\s*([{options}])(?![\w'])")


def read_letters(text: str, alphabet: str, length: int) -> str | None:
    """A row of letters, "r t s" whichever way it is written: "rts", "r, t, s", "R-T-S".

    length: of the expected row; it decides only whether a lone word of a sentence can be meant."""

    def find(part: str) -> list[str]:
        rows = re.findall(rf"(?<![\w'])(?:[{alphabet}](?:\s*[,-]\s*|\s+))+[{alphabet}](?![\w'])", part, re.I)
        if not rows:
            rows = [w for w in re.findall(r"(?<![\w'])\w+(?![\w'])", part) if _spelt(w, alphabet, length)]
        return [" ".join(re.findall(r"\w", row.lower())) for row in rows]

    return read(text, find, r"(?:=|:|->|\u2192|\bis|\bbecomes|\bgives)\s+([^.;:\n]*)")


def _spelt(word: str, alphabet: str, length: int) -> bool:
    """Words such as "was" consist of the alphabet, too, so that only one of the right length is an answer."""
    return len(word) == length and all(c in alphabet for c in word.lower())


def read_pattern(text: str, pattern: str, canonical: Callable[[str], str] = str) -> str | None:
    """What one pattern (without groups) finds, such as a date. canonical: the form in which two are compared."""

    def find(part: str) -> list[str]:
        return [canonical(found) for found in re.findall(pattern, part)]

    return read(text, find, rf"(?:=|:|->|\bis|\bare|\bequals|\bmakes|\bgives)\s*({pattern})")


def read_name(text: str, names: Iterable[str]) -> str | None:
    """One of the names, whatever their case; given back as the list writes it."""
    known = {name.lower(): name for name in names}
    choice = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    return read_pattern(text, rf"(?i:(?<![\w'])(?:{choice})(?![\w']))", lambda found: known[found.lower()])


def decimal(number: str) -> str:
    """The shortest way to write it: "1,200.50" is "1200.5"."""
    whole, _, rest = number.replace(",", "").partition(".")
    return f"{whole}.{rest.rstrip('0')}".rstrip(".")
