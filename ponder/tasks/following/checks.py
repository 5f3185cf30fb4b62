"""The 25 checkable instructions of IFEval (arXiv 2311.07911): for each a function of the answer and its arguments.

Words are runs of letters, digits and _, sentences end with . ! or ?; the benchmark's own program splits sentences with
a trained splitter, which differs on abbreviations. Bullets, sections and the rest are the benchmark's own patterns.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ponder.tasks.languages.identify import language_of

Check = Callable[..., bool]
SENTENCE = re.compile(r"(?<!\b[A-Z])(?<!\bMr)(?<!\bDr)(?<!\bMrs)(?<=[.!?])[\"')\]]*\s+(?=[^a-z\s])")
CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def sentences(text: str) -> list[str]:
    return [part for part in SENTENCE.split(text.strip()) if part.strip()]


def related(number: int, relation: str, wanted: int) -> bool:
    return number < wanted if relation == "less than" else number >= wanted


def follows(instruction: str, arguments: Mapping[str, Any], answer: str) -> bool:
    """Whether a text does what an instruction says. Raises KeyError for an instruction that is none."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return bool(answer.strip()) and CHECKS[instruction](answer, **given)


def _keywords(text: str, keywords: list[str]) -> bool:
    return all(re.search(re.escape(word), text, re.I) for word in keywords)


def _frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    return related(len(re.findall(re.escape(keyword), text, re.I)), relation, frequency)


def _forbidden(text: str, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.I) for word in forbidden_words)


def _letters(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return related(text.lower().count(letter.lower()), let_relation, let_frequency)


def _language(text: str, language: str) -> bool:
    return language_of(text) == language.split("-")[0]


def _sentences(text: str, num_sentences: int, relation: str) -> bool:
    return related(len(sentences(text)), relation, num_sentences)


def _paragraphs(text: str, num_paragraphs: int) -> bool:
    parts = re.split(r"\s?\*\*\*\s?", text)
    inner = parts[1 if not parts[0].strip() else 0 : len(parts) - (len(parts) > 1 and not parts[-1].strip())]
    return len(inner) == num_paragraphs and all(part.strip() for part in inner)


def _words(text: str, num_words: int, relation: str) -> bool:
    return related(len(words(text)), relation, num_words)


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = [part for part in re.split(r"\n\n", text) if part.strip()]
    if len(parts) != num_paragraphs or nth_paragraph > len(parts):
        return False
    begun = parts[nth_paragraph - 1].split()[0].strip("\"'.,?!").lower()
    return begun == first_word.lower()


def _placeholders(text: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", text)) >= num_placeholders


def _postscript(text: str, postscript_marker: str) -> bool:
    pattern = {"P.S.": r"\s*p\.\s?s\.", "P.P.S": r"\s*p\.\s?p\.\s?s"}.get(postscript_marker)
    return bool(re.search((pattern or rf"\s*{re.escape(postscript_marker.lower())}") + r".*$", text.lower(), re.M))


def _bullets(text: str, num_bullets: int) -> bool:
    stars, dashes = (re.findall(pattern, text, re.M) for pattern in (r"^\s*\*[^\*].*$", r"^\s*-.*$"))
    return len(stars) + len(dashes) == num_bullets


def _constrained(text: str) -> bool:
    return any(choice in text.strip() for choice in CHOICES)


def _highlights(text: str, num_highlights: int) -> bool:
    single = [part for part in re.findall(r"\*[^\n\*]*\*", text) if part.strip("*").strip()]
    double = [part for part in re.findall(r"\*\*[^\n\*]*\*\*", text) if part.strip("*").strip()]
    return len(single) + len(double) >= num_highlights


def _sections(text: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.split(rf"\s?{re.escape(section_spliter)}\s?\d+\s?", text)) - 1 >= num_sections


def _json(text: str) -> bool:
    bare = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        bare = bare.removeprefix(fence)
    try:
        json.loads(bare.removesuffix("```").strip())
    except ValueError:
        return False
    return True


def _title(text: str) -> bool:
    return any(title.strip("<>").strip() for title in re.findall(r"<<[^\n]+>>", text))


def _two(text: str) -> bool:
    parts = text.split("******")
    kept = [part.strip() for n, part in enumerate(parts) if part.strip() or 0 < n < len(parts) - 1]
    return len(kept) == 2 and all(kept) and kept[0] != kept[1]


def _repeat(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _end(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _capitals(text: str, capital_frequency: int, capital_relation: str) -> bool:
    return related(sum(word.isupper() for word in re.findall(r"[\w']+", text)), capital_relation, capital_frequency)


def _upper(text: str) -> bool:
    return text.isupper() and _english(text)


def _lower(text: str) -> bool:
    return text.islower() and _english(text)


def _english(text: str) -> bool:
    """Or too short to say."""
    return language_of(text) in ("en", None)


def _no_comma(text: str) -> bool:
    return "," not in text


def _quoted(text: str) -> bool:
    bare = text.strip()
    return len(bare) > 1 and bare[0] == bare[-1] == '"'


CHECKS: dict[str, Check] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two,
    "combination:repeat_prompt": _repeat,
    "startend:end_checker": _end,
    "change_case:capital_word_frequency": _capitals,
    "change_case:english_capital": _upper,
    "change_case:english_lowercase": _lower,
    "punctuation:no_comma": _no_comma,
    "startend:quotation": _quoted,
}
