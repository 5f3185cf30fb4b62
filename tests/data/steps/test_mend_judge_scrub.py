"""Text is mended, judged and scrubbed as the rules say, in every script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.data.steps.mend import mend
from ponder.data.steps.quality import Rules, fault
from ponder.data.steps.scrub import scrub

PROSE = {
    "en": "The river turned north behind the mill, and the road followed it for an hour. Nobody spoke much. "
    "When the first houses came in sight, the youngest of them began to sing, badly, and then they all laughed.",
    "zh": "河在磨坊后面向北拐去，道路沿着它走了一个小时。谁也没有多说话。当第一批房屋映入眼帘时，"
    "他们中最年轻的那个人开始唱歌，唱得很糟，然后大家都笑了。后来天黑了，他们点起灯笼，慢慢走回村子，第二天早上又沿着同样的路出发，心里想着昨天的歌声和笑声。",
    "th": "แม่น้ำไหลเลี้ยวไปทางเหนือหลังโรงสี และถนนก็เลียบตามไปอีกหนึ่งชั่วโมง ไม่มีใครพูดอะไรมากนัก เมื่อบ้านหลังแรกปรากฏขึ้น "
    "คนที่อายุน้อยที่สุดก็เริ่มร้องเพลง ร้องไม่เก่งเลย แล้วทุกคนก็หัวเราะ",
    "hi": "नदी चक्की के पीछे उत्तर की ओर मुड़ गई और सड़क एक घंटे तक उसके साथ चलती रही। किसी ने अधिक बात नहीं की। "
    "जब पहले घर दिखाई दिए तो उनमें सबसे छोटा गाने लगा, बुरी तरह, और फिर सब हँस पड़े।",
    "ar": "انعطف النهر شمالا خلف الطاحونة وتبعه الطريق ساعة كاملة. لم يتكلم أحد كثيرا. ولما ظهرت البيوت الأولى "
    "بدأ أصغرهم يغني غناء سيئا ثم ضحكوا جميعا.",
}


@pytest.mark.parametrize("language", PROSE)
def test_prose_of_every_script_passes(language: str) -> None:
    assert fault(PROSE[language], Rules()) is None
    assert mend(PROSE[language]) == unicodedata.normalize("NFC", PROSE[language])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("short", "too short"),
        ("=-=-=-=-" * 40, "symbols"),
        ("12 34 56 78 90\n" * 20, "symbols"),
        ("buy it now, today only\n" * 20, "repeated lines"),
        ("\n".join(f"* point {chr(97 + n)} of the long list" for n in range(20)), "bullets"),
        ("\n".join(f"and so on {chr(97 + n)} it went ..." for n in range(20)), "ellipses"),
        ("one two three four five six seven eight nine ten " * 20, "repeated text"),
        ("天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂" * 20, "repeated text"),
    ],
)
def test_each_rule(text: str, rule: str) -> None:
    assert fault(text, Rules()) == rule


@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ("a\r\nb\rc  \n", "a\nb\nc"),
        ("cafe\u0301", "café"),
        ("zero\u200bwidth\ufeff\x07", "zerowidth"),
        ("a\n\n\n\n\n\nb", "a\n\n\nb"),
        ("GrÃ¼ÃŸe aus KÃ¶ln", "Grüße aus Köln"),
        ("Itâ€™s Ã©crit", "It’s écrit"),
        ("São Tomé: Â is a letter", "São Tomé: Â is a letter"),
    ],
)
def test_mend(broken: str, right: str) -> None:
    assert mend(broken) == right


@given(st.text(max_size=300))
def test_mending_twice_changes_no_more(text: str) -> None:
    once = mend(text)
    assert mend(once) == once and unicodedata.is_normalized("NFC", once) and "\r" not in once
    fault(once, Rules())


@pytest.mark.parametrize(
    ("text", "clean", "kind"),
    [
        ("write to jane.doe+x@mail.ponder.dev today", "write to <EMAIL> today", "email"),
        ("host 8.8.4.4 is down", "host <IP> is down", "address"),
        ("ring +49 (30) 1234-5678 after six", "ring <PHONE> after six", "phone"),
        ("export KEY=sk-abcdef0123456789abcdef", "export KEY=<KEY>", "key"),
    ],
)
def test_what_belongs_to_people_is_replaced_and_counted(text: str, clean: str, kind: str) -> None:
    found: dict[str, int] = {}
    assert scrub(text, found) == clean and found == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "jane@example.com and 192.168.0.1 and 127.0.0.1",
        "version 1.2.3.4.5",
        "3 + 4 = 7, +1",
        "in 1999-2000, 12345 67890",
        "skill-based-learning-of-long-words",
    ],
)
def test_examples_and_plain_numbers_stay(text: str) -> None:
    found: dict[str, int] = {}
    assert scrub(text, found) == text and not found
