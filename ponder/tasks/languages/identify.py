"""In which language a short answer is: by its script, and inside a script by its small words.

A verifier's tool, for whole sentences in the languages below: where two languages are equally likely it says so
(None), so that nothing is rewarded by chance. Corpora are sorted by a trained identifier (docs/data.md).
"""

import re
import unicodedata
from collections import Counter
from functools import cache

SCRIPTS = {  # by the first word of a letter's Unicode name; those with one language only
    "GREEK": "el",
    "HEBREW": "he",
    "BENGALI": "bn",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "KANNADA": "kn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "THAI": "th",
    "HANGUL": "ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "MALAYALAM": "ml",
    "KHMER": "km",
    "LAO": "lo",
    "MYANMAR": "my",
    "SINHALA": "si",
    "CJK": "zh",
}
SMALL = {  # script -> language -> words that are frequent there, and after ~ letters that only it has
    "LATIN": {
        "en": "the of and to is in it that was for are with as you this be at have not from they she his but can will",
        "de": "der die das und ist nicht ein eine ich zu mit den von auf für es sich auch dem im wie wird ~ß sind mir",
        "fr": "le la les des et est une que je dans pour pas qui sur au avec ce il vous nous mais plus c'est l'on être",
        "es": "el la los las y es una que en por con para no se del lo me más pero como muy mi está son ~ñ¿¡",
        "it": "il la le gli di che è un una per non con sono della mi si del nel più anche come molto perché sia dal",
        "pt": "o a os as que é um uma para não com do da em no na se por mais eu muito como mas meu são ção ~ãõ",
        "nl": "de het een en van is dat niet ik in te voor op met zijn er aan ook maar als naar heel mijn wordt",
        "sv": "och att det är en ett som på för jag av med inte den till har men om så mycket när min också å",
        "da": "og at det er en et som på for jeg af med ikke den til har men om så meget når min også være ~øæ",
        "pl": "i w nie na się jest to że z do jak co ale po za od tak bardzo mój są oraz ~łżśćąę",
        "cs": "a je na se v že to s z do jako ale který jsem pro jsou velmi když můj není ~ěřůťď",
        "ro": "și în este o un de la nu cu pe că mai din sunt pentru dar foarte când care meu ~țșă",
        "hu": "a az és hogy nem is egy van ez de meg mert nagyon csak ha mint azt én ~őű",
        "fi": "ja on ei se että en hän mutta kuin myös niin ovat ole tämä kun minä hyvin minun koska joka",
        "tr": "ve bir bu için çok de da ile ne gibi daha en ben değil var olan kadar ama benim ~ğış",
        "id": "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga saya ada adalah ke bisa karena sangat",
        "vi": "và là của có không một những được trong cho tôi rất với này người các đó khi ~đươạếộệ",
        "sw": "na ya wa ni kwa katika hii sana kama yangu cha la ana wake hiyo lakini kuwa mimi ambayo siku watu",
    },
    "CYRILLIC": {
        "ru": "и в не на что я с он как это но по из у за от очень мне меня потому когда ~ыэё",
        "uk": "і в не на що я з як це але до у за від та дуже мені мене тому коли який ~єїґ",
        "bg": "и в не на че аз с като това но да от за е са много ми ме защото когато който съм ~ъ",
    },
    "ARABIC": {
        "ar": "في من على أن إلى هذا هذه التي الذي مع كان لا ما عن هو هي أنا جدا لأن ~ةأإى",
        "fa": "در و به از که این را با است برای آن یک خود من می خیلی چون هستم دارم ~پچگژ",
        "ur": "میں کے کی ہے اور سے کا کو یہ نے پر ہیں کہ نہیں بہت ہوں مجھے کیونکہ ~ہےٹڈڑں",
    },
    "DEVANAGARI": {
        "hi": "है में की के और का से को यह पर हैं नहीं मैं भी एक बहुत क्योंकि था मुझे मेरा",
        "mr": "आहे आणि मी या ते हे च्या नाही आहेत तर खूप कारण मला माझा ला एक होते त्या ~ळ",
        "ne": "छ र को मा हो यो लाई छन् पनि म धेरै किनभने मलाई मेरो गर्न थियो छैन भने एक",
    },
}
PARTS = re.compile(r"[^\s\d.,;:!?¿¡()\"“”«»।؟،*>_]+|[¿¡]")  # signs of vowels belong to a word, which \w leaves out


def language_of(text: str) -> str | None:
    """A two-letter code; None for no letters, and where the small words of two languages are equally frequent."""
    scripts = Counter(_script(c) for c in text if c.isalpha())
    if not scripts:
        return None
    if "HIRAGANA" in scripts and scripts["HIRAGANA"] + scripts["CJK"] > sum(scripts.values()) / 2:
        return "ja"
    script, count = scripts.most_common(1)[0]
    if count <= sum(scripts.values()) / 2:
        return None
    if script not in SMALL:
        return SCRIPTS.get(script)
    points = _points(text.lower(), script)
    (best, most), *others = points.most_common()
    return best if most and (not others or others[0][1] < most) else None


def _points(text: str, script: str) -> Counter[str]:
    """A point for each small word, and for each word with one of a language's letters of its own."""
    points: Counter[str] = Counter()
    for word in PARTS.findall(text):
        for language, (known, letters) in _small(script).items():
            points[language] += (word in known) + (not letters.isdisjoint(word))
    return points


@cache
def _small(script: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    found = {}
    for language, small in SMALL[script].items():
        words = [word for word in small.split() if word[0] != "~"]
        letters = "".join(word[1:] for word in small.split() if word[0] == "~")
        found[language] = (frozenset(words), frozenset(letters))
    return found


def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split(" ")[0].split("-")[0]
