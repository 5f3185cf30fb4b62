"""The 119 languages and dialects of Qwen3, by their FLORES-200 codes, and the locale codes that software has for them.

Names as in the table of the Qwen3 release; where the release names a group, its code is that of the standard form.
"""

import re
from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct

BY_COUNTRY = frozenset(("zh", "pa", "sr", "az", "uz", "kk"))
"""Languages that are written differently in different countries."""


class Language(Struct, frozen=True):
    code: str
    """FLORES-200: language and script, such as `arz_Arab`."""
    name: str
    locales: tuple[str, ...]
    """What files and packages call it: `pt-br`, `zh-hans`, ..."""
    family: str


@cache
def languages() -> dict[str, Language]:
    """By code, the largest first as the release has them."""
    found = msgspec.json.decode(files("ponder.data").joinpath("languages.json").read_bytes(), type=list[Language])
    return {language.code: language for language in found}


@cache
def _by_locale() -> dict[str, str]:
    return {locale.lower(): language.code for language in languages().values() for locale in language.locales}


STANDARD = {
    "ara": "arb", "aze": "azj", "cmn": "zho", "fas": "pes", "lav": "lvs", "msa": "zsm", "nep": "npi", "nor": "nob",
    "ori": "ory", "sqi": "als", "swa": "swh", "uzb": "uzn", "yid": "ydd", "zlm": "zsm",
}  # fmt: skip
"""ISO 639-3 of a group of languages, and of one of its members that Qwen3 does not name: its standard form."""


@cache
def _by_iso() -> dict[str, str]:
    found: dict[str, str] = {}
    for code in languages():
        found.setdefault(code.partition("_")[0], code)  # zho: simplified characters come first
    return found


def of_code(code: str) -> str | None:
    """Of a locale, or of three letters of ISO 639-3 as data sets have them (`ara`, `deu`): the code in `languages`;
    None for one that is not among the 119."""
    return of_locale(code) or _by_iso().get(STANDARD.get(code.lower(), code.lower()))


def of_locale(locale: str) -> str | None:
    """The code of `pt_BR`, `PT-br`, `por_Latn`, `de-AT`; None for one that is not among the 119.

    A country says nothing of its own, unless the table has it, or it goes with another script.
    """
    if locale in languages():
        return locale
    name = locale.lower().replace("_", "-")
    language, _, country = name.partition("-")
    if (
        (found := _by_locale().get(name)) is not None
        or language in BY_COUNTRY
        or not re.fullmatch(r"[a-z]{2}", country)
    ):
        return found
    return _by_locale().get(language)
