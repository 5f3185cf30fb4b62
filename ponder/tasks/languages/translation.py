"""Translation of short texts scored by chrF, and names of places and languages as the CLDR has them."""

import random
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from ponder.core.errors import UserError
from ponder.core.sample import Problem, Verdict
from ponder.tasks.languages.chrf import chrf
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row

NAMES = {
    "ar": "Arabic",
    "bn": "Bengali",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
CLOSE = 0.5  # chrF from which a translation counts as right; the reward is chrF itself


@dataclass(frozen=True, eq=False)
class Translation(Released):
    """Rows: source, target, from, to."""

    def item(self, row: Row, place: int) -> Item:
        source, target = str(row["source"]).strip(), str(row["target"]).strip()
        if not source or not target:
            raise ValueError("source and target must not be empty")
        names = {"from": str(row["from"]), "to": str(row["to"])}
        return Item(str(row.get("id", place)), source, target, language=names["to"], extra=names)

    def prompt(self, item: Item) -> str:
        source, target = (NAMES.get(code, code) for code in (item.extra["from"], item.extra["to"]))
        return f"Translate this from {source} into {target}. Answer with the translation alone.\n\n{item.question}"

    def read(self, problem: Problem, text: str) -> str | None:
        return text.strip() or None

    def grade(self, problem: Problem, found: str) -> Verdict:
        near = chrf(found, str(problem.answer_key))
        return Verdict(reward=min(1.0, near), ok=near >= CLOSE, parts={"chrf": near})

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        right = self.answer(problem)
        return [right, f" {right}\n", right.lower(), f"{right[:-1]}"], [
            self.items[problem.id].question if chrf(self.items[problem.id].question, right) < CLOSE else "",
            "",
            "?",
            "qqq " * len(right),
            right[:2],
        ]


@dataclass(frozen=True, eq=False)
class Names(Released):
    """Rows: language, kind (territory or language), code, english, name. Right is the name, case aside."""

    def item(self, row: Row, place: int) -> Item:
        language, kind, code = str(row["language"]), str(row["kind"]), str(row["code"])
        return Item(
            f"{language} {kind} {code}",
            str(row["english"]),
            str(row["name"]),
            language=language,
            extra={"kind": kind, "in": str(row.get("in") or language)},
        )

    def prompt(self, item: Item) -> str:
        return f"What is the {item.extra['kind']} {item.question} called in {item.extra['in']}? Answer with the name."

    def read(self, problem: Problem, text: str) -> str | None:
        """The name where it stands as a whole, else all that was said."""
        said, name = " ".join(text.split()), str(problem.answer_key)
        if not said:
            return None
        at = said.lower().find(name.lower())
        alone = at >= 0 and not (said[at - 1 : at].isalpha() or said[at + len(name) : at + len(name) + 1].isalpha())
        return name if alone else said

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        a = self.answer(problem)
        forms = ("{}", "{}.", "**{}**", '"{}"', "{}\n", "({})")
        return [form.format(a) for form in forms], ["", "I do not know.", f"x{a}x", a[:-1] or "?"]

    def packaged(self) -> "Names":
        """Of the package babel, which has the CLDR. Raises UserError without it."""
        if find_spec("babel") is None:
            raise UserError(f"{self.name} has no data here. {self.about}", param="data")
        localedata, locale = import_module("babel.localedata"), import_module("babel").Locale
        english = locale("en")
        items: dict[str, Item] = {}
        for code in sorted(localedata.locale_identifiers()):
            if "_" in code or code == "en":
                continue
            here = locale.parse(code)
            called = english.languages.get(code)
            for kind, known, names in (
                ("territory", english.territories, here.territories),
                ("language", english.languages, here.languages),
            ):
                for key in [k for k in _KEYS[kind] if called and k in names and names[k] != known.get(k)]:
                    row = {
                        "language": code,
                        "kind": kind,
                        "code": key,
                        "english": known[key],
                        "name": names[key],
                        "in": called,
                    }
                    item = self.item(row, len(items))
                    items[item.id] = item
        found = self.with_items(items, f"cldr {len(items)}")
        assert isinstance(found, Names)
        return found


_KEYS = {
    "territory": ("FR", "DE", "IT", "ES", "GR", "EG", "IN", "CN", "JP", "RU", "TR", "KE", "BR", "US", "ZA", "FI"),
    "language": ("fr", "de", "it", "es", "el", "ar", "hi", "zh", "ja", "ru", "tr", "sw", "pt", "en", "fi", "ko"),
}
