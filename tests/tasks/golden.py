"""Questions of every task by hand: (id, question or a part of it, thought or None, answer)."""

GOLDEN = {
    "count": ("r in strawberry", "How many r in s t r a w b e r r y?", "r: s0 t0 r1 a1 w1 b1 e1 r2 r3 y3", "3"),
    "strawberry": ("r in strawberry", "How many r in strawberry?", "r: s0 t0 r1 a1 w1 b1 e1 r2 r3 y3", "3"),
    "swap": (
        "KLMN 1-2,2-4 4",
        "Swap 1-2,2-4 in K L M N. What is at 4?",
        "0: K L M N\n1-2: L K M N\n2-4: L N M K\n4= K",
        "K",
    ),
    "swap5": ("PKLMN 1-5 1", "Swap 1-5 in P K L M N. What is at 1?", "0: P K L M N\n1-5: N K L M P\n1= N", "N"),
    "add": ("987+65", "What is 987+65?", None, "1052"),
    "chain": ("3+4-9+5", "What is 3+4-9+5 modulo 10?", "3 +4=7 -9=8 +5=3", "3"),
    "reverse": ("wet", "Write w e t backwards.", "w e t", "t e w"),
    "retrieval": (
        "4 2 3907 7",
        "The road goes on.\nThe grass is green.\nThe key is 3907.\nThe sun is warm.\nWhat is the key?",
        "3907",
        "3907",
    ),
    # reasoning
    "story": (
        "Ann apples 12 +5 ~9 /2",
        "Ann has 12 apples. Ann finds 5 more. A neighbour has 9 stamps. Ann shares them equally with others, 2 people",
        "12 +5=17 /2=8",
        "8",
    ),
    "countdown": (
        "3 7 8=29",
        "Use each of the numbers 3, 7, 8 once, with + - * / and brackets, to make 29.",
        None,
        "(7*3)+8",
    ),
    "multiply": ("47*36", "What is 47*36?", "47*6=282\n47*30=1410\n282+1410=1692", "1692"),
    "sort": ("12 5 9", "Sort these numbers from small to large: 12 5 9", "12 5 9: 5\n12 9: 9\n12: 12", "5 9 12"),
    "base": ("13 in 3", "Write 13 in base 3.", "13=3*4+1\n4=3*1+1\n1=3*0+1", "111"),
    "date": (
        "2024-02-27+4",
        "Which date is 4 days after 2024-02-27?",
        "2024-02-27 +4\n29 days: +3 2024-03-01 +1\n1+1=2",
        "2024-03-02",
    ),
    "unit": (
        "time 0 10 5 2",
        "How many seconds are 2 hours, 5 minutes and 10 seconds?",
        "2*60=120, +5=125 minutes\n125*60=7500, +10=7510 seconds",
        "7510",
    ),
    "science": ("force 3 4", "A force speeds up 3 kg by 4 m/s each second.", "F = m a = 3 * 4 = 12 N", "12"),
    "knights": (
        "Ann,Ben 1:knave 0:same ?0",
        'Ann says: "Ben is a knave." Ben says: "Ann and I are the same kind." Is Ann a knight or a knave?',
        "Ann knight, Ben knight: no, Ann says what is false\nAnn knight, Ben knave: all fits, Ann is a knight",
        "knight",
    ),
    "ranking": (
        "Cleo<Ben Ann>Ben ?1",
        "Cleo is shorter than Ben. Ann is taller than Ben. Who is the second tallest?",
        "Ann > Ben\nAnn > Ben > Cleo\n2: Ben",
        "Ben",
    ),
    "trace": (
        "3 5 2 even addi swap",
        "x, y = 3, 5\nfor i in range(2):\n    if x % 2 == 0:\n        x += i\n    else:\n        x, y = y, x\nprint(x)",
        "x=3 y=5\ni=0 no x, y = y, x: x=5 y=3\ni=1 no x, y = y, x: x=3 y=5",
        "3",
    ),
    "write_code": (
        "f even square sum",
        "a Python function f(xs) that takes a list of whole numbers and returns the sum of the squares of the even",
        "take x % 2 == 0\nmake x * x\njoin sum(ys)",
        "```python\ndef f(xs):\n    ys = [x * x for x in xs if x % 2 == 0]\n    return sum(ys)\n```",
    ),
    # following
    "instructions": (
        '["owls", ["punctuation:no_comma", {}], ["startend:quotation", {}]]',
        "Write a short text about owls. Use no comma. Put the whole answer in double quotation marks.",
        "1. Use no comma.\n2. Put the whole answer in double quotation marks.",
        None,
    ),
    "length": ("4 sentences owls", "Write about owls in 4 sentences.", "4 sentences", None),
    "structured": (
        '{"name":"Ann","age":34}',
        "Ann is a guest; 34 years old.",
        'name: "Ann"\nage: 34',
        '{"age": 34, "name": "Ann"}',
    ),
    "modes": (
        "no_think 3+4/think 2+9/-",
        "You are a helper. /no_think\nWhat is 3+4? /think\n7\nWhat is 2+9?",
        "2+9=11",
        "11",
    ),
    "answer_language": ("fr 0 1 0", "Pourquoi beaucoup de gens aiment-ils la musique ?", "language: fr", None),
    "memory": (
        "dog=Rex town=Lima dog=Luna ?dog",
        "We have renamed my dog: now it is called Luna.\nI see.\nWhat is the name of my dog?",
        "dog=Rex\ndog=Luna",
        "Luna",
    ),
    # tools
    "tool_call": (
        '[["set_timer"], [["set_timer", {"minutes": 5}]], ""]',
        "Set a timer for 5 minutes.",
        'set_timer: {"minutes": 5}',
        '<tool_call>\n{"name": "set_timer", "arguments": {"minutes": 5}}\n</tool_call>',
    ),
    "tool_parallel": (
        '[["set_timer"], [["set_timer", {"minutes": 5}], ["set_timer", {"minutes": 7}]], ""]',
        "Set a timer for 5 minutes. Set a timer for 7 minutes.",
        None,
        '<tool_call>\n{"name": "set_timer", "arguments": {"minutes": 5}}\n</tool_call>\n'
        '<tool_call>\n{"name": "set_timer", "arguments": {"minutes": 7}}\n</tool_call>',
    ),
    "tool_none": ('[["set_timer"], [], "What is 4 plus 5?"]', "What is 4 plus 5?", None, "9"),
    "tool_ask": (
        '[["set_timer"], [["set_timer", {"minutes": 5}]], "minutes"]',
        "Set a timer for ___ minutes.",
        "set_timer needs minutes; minutes is not said",
        "Which minutes do you mean?",
    ),
    # grounded
    "passages": (
        '[[["Osk", "mayor", "Ben"], ["Lomar", "river", "Sae"]], "Lomar", "river"]',
        "[1] The mayor of Osk is Ben.\n[2] The river Sae runs through Lomar.\n\nWhich river runs through Lomar?",
        "[2] Lomar: river\nriver: Sae [2]",
        "Sae [2]",
    ),
    "premise": (
        '[[["Osk", "mayor", "Ben"], ["Osk", "bridge", "110"]], "Osk", "bridge", "mayor", "Ann"]',
        "How many metres long is the bridge of Osk, whose mayor is Ann?",
        "Osk, mayor: Ann taken for granted, Ben in the text: no",
        "false premise",
    ),
    "declining": ("7 + ?", "What is 7 + ??", "7 + ?: no", "I cannot answer that"),
}
