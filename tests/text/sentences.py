"""Short texts in many scripts, for tests of the tokenizer and its files."""

# One sentence each, many scripts; decomposed and composed forms both occur (ML-2).
LANGUAGES = [
    "The quick brown fox", "Être ou ne pas être", "Größe und Spaß", "¿Qué pasó, señor?", "São Paulo, coração",
    "Zażółć gęślą jaźń", "Příliš žluťoučký kůň", "Árvíztűrő tükörfúrógép", "Съешь же ещё этих булок", "Ξεσκεπάζω",
    "İstanbul'da ılık", "Tiếng Việt có dấu", "ไทยภาษาไทย", "ភាសាខ្មែរ", "ພາສາລາວ", "မြန်မာဘာသာ", "हिन्दी भाषा",
    "বাংলা ভাষা",
    "தமிழ் மொழி", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "ગુજરાતી", "ਪੰਜਾਬੀ", "සිංහල", "मराठी", "اردو زبان", "فارسی",
    "العربية",
    "עברית", "አማርኛ", "ქართული", "Հայերեն", "中文简体", "中文繁體", "日本語ひらがなカタカナ", "한국어",
    "ᠮᠣᠩᠭᠣᠯ", "བོད་ཡིག",
    "ייִדיש", "Ўзбек", "Қазақ", "Кыргыз", "Тоҷикӣ", "Башҡорт", "Татар", "Íslenska þjóð", "Føroyskt", "Kiswahili",
    "Wikang Tagalog", "Bahasa Indonesia", "Ligurian ò ciù", "Malti ħġż", "👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "한글", "Å\u030a Å",
]  # fmt: skip
