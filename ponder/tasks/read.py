"""Reads the one answer that a text gives: a number, a name from a list, a row of letters.

The rule is the same for all: a text that gives no answer, or two that differ, gives none (None). So "2 or 3" is never
right, whichever of them the key is. What is boxed counts most, then what is called the answer, then what stands in
the text.
"""

import re
from collections.abc import Callable, Iterable

NUMBER = r"(?<![\w.,/])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w/%]|[.,]\d)"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
CALLED = re.compile(r"\banswer\b(?:\s+(?:is|would be|must be)\b)?\s*:?\s*((?:[^.;\n]|\.(?=\d))*)", re.I)
# In such a sentence the number or name is what the answer is not, or one of several.
HEDGED = re.compile(r"\b(?:not|n't|never|neither|nor|or|either|than|between|least|most|unlike|except)\b", re.I)


def clean(text: str) -> str:
    """Without the marks of Markdown and LaTeX, with the plain minus and commas."""
    text = text.replace("{,}", ",").replace("\u2212", "-").replace("\u2019", "'").replace("n't", " not")
    text = re.sub(r"\\(?:text|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\\[,;! ]|[*_`$\"\u201c\u201d#]", " ", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def one(found: Iterable[str]) -> str | None:
    """The value of all that were found, if it is the same."""
    values = set(found)
    return values.pop() if len(values) == 1 else None


def narrowed(text: str, find: Callable[[str], list[str]]) -> list[str] | None:
    """What `find` finds where the text says that its answer is; None when it says it nowhere, or in several ways."""
    if boxed := BOXED.findall(text):
        return [found for part in boxed for found in find(clean(part)) or [""]]
    called = [part for part in CALLED.findall(clean(text)) if find(part)]
    if called:
        return [""] if any(HEDGED.search(part) for part in called) else [f for part in called for f in find(part)]
    return None


def read_number(text: str) -> str | None:
    """A whole number, as `str(int)` writes it."""
    found = narrowed(text, _numbers)
    if found is None:
        found = _stated(clean(text))
    value = one(found)
    return value or None


def _stated(text: str) -> list[str]:
    """The numbers of a text that does not say which of them is its answer."""
    if HEDGED.search(text):
        return []
    numbers = _numbers(text)
    if len(set(numbers)) <= 1:
        return numbers
    claims = re.findall(rf"(?:=|\bis|\bare|\bequals|\bmakes|\bgives)\s*({NUMBER})", text)
    claims += re.findall(rf"({NUMBER}) (?:times|occurrences|instances)\b", text)
    return [value for claim in claims for value in _numbers(claim)]


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

    found = narrowed(text, find)
    if found is None:
        said = clean(text)
        found = [] if HEDGED.search(said) else find(said)
        if len(set(found)) > 1:
            found = re.findall(rf"(?:=|:|\bis|\bholds|\bstands)\s*([{options}])(?![\w'])", said)
    return one(found) or None


def read_letters(text: str, alphabet: str, length: int) -> str | None:
    """A row of letters, "r t s" whichever way it is written: "rts", "r, t, s", "R-T-S".

    length: of the expected row; it decides only whether a lone word of a sentence can be meant."""

    def find(part: str) -> list[str]:
        rows = re.findall(rf"(?<![\w'])(?:[{alphabet}](?:\s*[,-]\s*|\s+))+[{alphabet}](?![\w'])", part, re.I)
        if not rows:
            rows = [w for w in re.findall(r"(?<![\w'])\w+(?![\w'])", part) if _spelt(w, alphabet, length)]
        return [" ".join(re.findall(r"\w", row.lower())) for row in rows]

    found = narrowed(text, find)
    if found is None:
        said = clean(text)
        found = [] if HEDGED.search(said) else find(said)
        if len(set(found)) > 1:
            claims = re.findall(r"(?:=|:|->|\u2192|\bis|\bbecomes|\bgives)\s+([^.;:\n]*)", said)
            found = [row for claim in claims for row in find(claim)]
    return one(found) or None


def _spelt(word: str, alphabet: str, length: int) -> bool:
    """Words such as "was" consist of the alphabet, too, so that only one of the right length is an answer."""
    return len(word) == length and all(c in alphabet for c in word.lower())
