"""A question in one of 30 languages is answered in that language, whatever the answer is."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.languages.identify import language_of

# language: (question with {}, answer with {}, six things to ask about)
SAID: dict[str, tuple[str, str, str]] = {
    "en": (
        "Why do many people like {}?",
        "I think that they like {} because it is good for them and their friends.",
        "music|tea|winter|books|the sea|bread",
    ),
    "de": (
        "Warum mögen viele Menschen {}?",
        "Ich glaube, dass viele Menschen {} mögen, weil es ihnen gut tut und nicht teuer ist.",
        "Musik|Tee|Schnee|Bücher|Wasser|Brot",
    ),
    "fr": (
        "Pourquoi beaucoup de gens aiment-ils {} ?",
        "Je pense que les gens aiment {} parce que c'est une chose simple qui est bonne pour nous.",
        "la musique|le thé|la neige|les livres|la mer|le pain",
    ),
    "es": (
        "¿Por qué a mucha gente le gusta {}?",
        "Creo que a la gente le gusta {} porque es una cosa muy sencilla y buena para todos.",
        "la música|el té|la nieve|la lectura|el mar|el pan",
    ),
    "it": (
        "Perché a molte persone piace {}?",
        "Penso che alle persone piaccia {} perché è una cosa molto semplice e non è cara.",
        "la musica|il tè|la neve|la lettura|il mare|il pane",
    ),
    "pt": (
        "Por que muitas pessoas gostam de {}?",
        "Eu acho que as pessoas gostam de {} porque não é uma coisa cara e faz muito bem.",
        "música|chá|neve|livros|praia|pão",
    ),
    "nl": (
        "Waarom houden veel mensen van {}?",
        "Ik denk dat veel mensen van {} houden omdat het goed voor hen is en niet duur.",
        "muziek|thee|sneeuw|boeken|water|brood",
    ),
    "sv": (
        "Varför tycker många om {}?",
        "Jag tror att det är mycket bra för dem, och därför tycker de om {} när de har tid.",
        "musik|te|snö|böcker|havet|bröd",
    ),
    "da": (
        "Hvorfor kan mange lide {}?",
        "Jeg tror, at det er meget godt for dem, og derfor kan de lide {}, når de har tid til at være sammen.",
        "musik|te|sne|bøger|havet|brød",
    ),
    "pl": (
        "Dlaczego wielu ludzi lubi {}?",
        "Myślę, że ludzie lubią {}, bo to jest bardzo dobre i nie kosztuje dużo.",
        "muzykę|herbatę|śnieg|książki|morze|chleb",
    ),
    "cs": (
        "Proč má mnoho lidí rádo {}?",
        "Myslím, že lidé mají rádi {}, protože je to velmi dobré a není to drahé.",
        "hudbu|čaj|sníh|knihy|moře|chléb",
    ),
    "ro": (
        "De ce le place multor oameni {}?",
        "Cred că oamenilor le place {} pentru că este un lucru foarte simplu și nu este scump.",
        "muzica|ceaiul|zăpada|lectura|marea|pâinea",
    ),
    "hu": (
        "Miért szereti sok ember ezt: {}?",
        "Azt hiszem, hogy ez nagyon jó az embereknek, és nem is drága: {}.",
        "zene|tea|hó|könyvek|tenger|kenyér",
    ),
    "fi": (
        "Miksi monet ihmiset pitävät tästä: {}?",
        "Luulen, että se on hyvä asia, koska se ei ole kallis ja se on myös helppo: {}.",
        "musiikki|tee|lumi|kirjat|meri|leipä",
    ),
    "tr": (
        "Neden birçok insan {} sever?",
        "Bence insanlar {} sever çünkü bu çok güzel bir şey ve pahalı değil.",
        "müzik|çay|kar|kitap|deniz|ekmek",
    ),
    "id": (
        "Mengapa banyak orang suka {}?",
        "Saya pikir orang suka {} karena itu sangat baik untuk mereka dan tidak mahal.",
        "musik|teh|salju|buku|laut|roti",
    ),
    "vi": (
        "Tại sao nhiều người thích {}?",
        "Tôi nghĩ rằng mọi người thích {} vì đó là một điều rất tốt và không đắt.",
        "âm nhạc|trà|tuyết|sách|biển|bánh mì",
    ),
    "sw": (
        "Kwa nini watu wengi wanapenda {}?",
        "Nadhani watu wanapenda {} kwa sababu ni kitu kizuri sana na ni rahisi.",
        "muziki|chai|theluji|vitabu|bahari|mkate",
    ),
    "ru": (
        "Почему многие люди любят {}?",
        "Я думаю, что люди любят {}, потому что это очень хорошо и не дорого.",
        "музыку|чай|снег|книги|море|хлеб",
    ),
    "uk": (
        "Чому багато людей люблять {}?",
        "Я думаю, що люди люблять {}, тому що це дуже добре і не дорого, як на мене.",
        "музику|чай|сніг|книги|море|хліб",
    ),
    "bg": (
        "Защо много хора обичат {}?",
        "Аз мисля, че хората обичат {}, защото това е много хубаво и не е скъпо.",
        "музиката|чая|снега|книгите|морето|хляба",
    ),
    "el": (
        "Γιατί σε πολλούς ανθρώπους αρέσει {};",
        "Νομίζω ότι τους αρέσει {} επειδή είναι κάτι απλό και καλό.",
        "η μουσική|το τσάι|το χιόνι|το διάβασμα|η θάλασσα|το ψωμί",
    ),
    "ar": (
        "لماذا يحب كثير من الناس {}؟",
        "أنا أعتقد أن الناس يحبون {} لأن هذا الأمر جيد جدا في الحياة.",
        "الموسيقى|الشاي|الثلج|الكتب|البحر|الخبز",
    ),
    "fa": (
        "چرا بسیاری از مردم {} را دوست دارند؟",
        "من فکر می‌کنم که مردم {} را دوست دارند چون این برای آن‌ها خیلی خوب است.",
        "موسیقی|چای|برف|کتاب|دریا|نان",
    ),
    "hi": (
        "बहुत से लोगों को {} क्यों पसंद है?",
        "मुझे लगता है कि लोगों को {} पसंद है क्योंकि यह बहुत अच्छा है और महंगा नहीं है।",
        "संगीत|चाय|बर्फ|किताब|समुद्र|रोटी",
    ),
    "bn": ("অনেক মানুষ {} কেন ভালোবাসে?", "আমি মনে করি মানুষ {} ভালোবাসে কারণ এটি ভালো।", "গান|চা|তুষার|বই|সমুদ্র|রুটি"),
    "ta": (
        "பலருக்கு {} ஏன் பிடிக்கும்?",
        "{} நல்லது என்பதால் பலருக்கு அது பிடிக்கும் என்று நினைக்கிறேன்.",
        "இசை|தேநீர்|பனி|புத்தகம்|கடல்|ரொட்டி",
    ),
    "th": ("ทำไมคนจำนวนมากจึงชอบ{}", "ฉันคิดว่าคนชอบ{}เพราะมันดีและไม่แพง", "ดนตรี|ชา|หิมะ|หนังสือ|ทะเล|ขนมปัง"),
    "ko": (
        "왜 많은 사람들이 {}을(를) 좋아합니까?",
        "사람들은 {}이(가) 좋고 비싸지 않기 때문에 좋아한다고 생각합니다.",
        "음악|차|눈|책|바다|빵",
    ),
    "ja": ("なぜ多くの人は{}が好きですか。", "{}は体によくて、高くないからだと思います。", "音楽|お茶|雪|本|海|パン"),
    "zh": ("为什么很多人喜欢{}?", "我认为很多人喜欢{},因为它对人有好处,而且不贵。", "音乐|茶|雪|书|大海|面包"),
}


@dataclass(frozen=True)
class AnswerLanguage(Task):
    """One level. The question may stand after a line in English, which is not what is asked."""

    name: str = "answer_language"
    levels: int = 2

    def draw(self, rng: random.Random, level: int) -> str:
        """ "de 3 5 2" """
        numbers = rng.sample(range(6), 2)
        return " ".join(map(str, (rng.choice(list(SAID)), *numbers, level)))

    def question(self, id_: str) -> str:
        language, first, second, level = id_.split(" ")
        asks, _, things = SAID[language]
        asked = " ".join(asks.format(things.split("|")[int(n)]) for n in (first, second))
        return f"Message from a customer:\n\n{asked}" if level == "1" else asked

    def language(self, id_: str) -> str:
        return id_.split(" ")[0]

    def think(self, id_: str) -> str:
        return f"language: {id_.split(' ')[0]}"

    def solve(self, id_: str) -> str:
        language, first, second, _ = id_.split(" ")
        _, says, things = SAID[language]
        return " ".join(says.format(things.split("|")[int(n)]) for n in (first, second))

    def read(self, problem: Problem, text: str) -> str | None:
        return text.strip() or None

    def grade(self, problem: Problem, found: str) -> Verdict:
        ok = language_of(found) == problem.language
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0})

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        language, *rest = problem.id.split(" ")
        return self.solve(" ".join([rng.choice([other for other in SAID if other != language]), *rest]))

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        language, first, second, level = problem.id.split(" ")
        right = self.solve(problem.id)
        one, other = (self.solve(f"{language} {n} {n} {level}") for n in (first, second))
        wrongs = [self.wrong(problem, rng) for _ in range(12)]
        mixed = f"{wrongs[0]} {wrongs[1]} {one.split(' ')[0]}"
        return (
            [
                right,
                f"{right}\n",
                f"**{right}**",
                one,
                other,
                f"{one}\n\n{other}",
                f"1. {one}\n2. {other}",
                f"> {right}",
                f"{right} {right}",
                f"\u201c{right}\u201d",
            ],
            [*wrongs, mixed, "", "123", "?"],
        )

    def chance(self, level: int) -> float:
        return 1 / len(SAID)

    def size(self, level: int) -> str:
        return ("the question alone", "after a line in English")[level]
