"""The 119 languages and dialects of Qwen3, by their FLORES-200 codes, and the locale codes that software has for them.

Names as in the table of the Qwen3 release; where the release names a group, its code is that of the standard form.
"""

from functools import cache
from importlib.resources import files

import msgspec
from msgspec import Struct


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


def of_locale(locale: str) -> str | None:
    """The code of `pt_BR`, `PT-br`, `por_Latn`; None for one that is not among the 119."""
    if locale in languages():
        return locale
    return _by_locale().get(locale.lower().replace("_", "-"))
