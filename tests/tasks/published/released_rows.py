"""A few rows of each benchmark in the form of its file, written for these tests, with answers whose label is known."""

import json
from typing import Any

Rows = list[dict[str, Any]]
CHOICE = [
    {"question": f"Which letter is number {n + 1}?", "choices": ["a", "b", "c", "d"], "answer": n} for n in range(4)
]
COLUMNS = [
    {"id": n, "question": f"Frage {n}?", "A": "w", "B": "x", "C": "y", "D": "z", "answer": "ABCD"[n % 4]}
    for n in range(6)
]
BELEBELE = [
    {
        "flores_passage": f"Passage {n}.",
        "question": "What?",
        "mc_answer1": "a",
        "mc_answer2": "b",
        "mc_answer3": "c",
        "mc_answer4": "d",
        "correct_answer_num": str(n % 4 + 1),
        "dialect": "deu_Latn",
    }
    for n in range(5)
]
GPQA = [
    {
        "Question": f"Q{n}",
        "Correct Answer": f"right {n}",
        "Incorrect Answer 1": "x",
        "Incorrect Answer 2": "y",
        "Incorrect Answer 3": "z",
    }
    for n in range(5)
]
GSM8K = [
    {
        "question": f"Ann has {n} apples and buys {n + 2}. How many?",
        "answer": f"{n}+{n + 2}=<<{n}+{n + 2}={2 * n + 2}>>\n#### {2 * n + 2}",
    }
    for n in range(1, 9)
]
MATH = [
    {"unique_id": "a", "problem": "Halve 1.", "answer": "\\frac{1}{2}", "level": 3, "solution": "It is one half."},
    {"unique_id": "b", "problem": "A root.", "answer": "3\\sqrt{2}", "level": 1},
    {"unique_id": "c", "problem": "A pair.", "answer": "(2,\\pi)", "level": 5},
]
SUMS = [{"language": "swh", "id": n, "question": f"{n}+1?", "answer": f"Jibu.\n#### {n + 1}"} for n in range(1, 8)]
PAIRS = [{"source": f"Bridge {n}.", "target": f"Eine lange Brücke {n}.", "from": "en", "to": "de"} for n in range(4)]
NAMES = [
    {"language": "de", "kind": "territory", "code": code, "english": english, "name": name, "in": "German"}
    for code, english, name in (
        ("FR", "France", "Frankreich"),
        ("IT", "Italy", "Italien"),
        ("GR", "Greece", "Griechenland"),
    )
]
POLY = [
    {"id": n, "question": f"{n}+1?", "answer": str(n + 1), "level": level, "language": "sw"}
    for n, level in enumerate(("low", "medium", "high", "top"))
]
HUMANEVAL = [
    {
        "task_id": "HumanEval/0",
        "prompt": 'def same(x):\n    return x\n\n\ndef double(x):\n    """Twice x."""\n',
        "entry_point": "double",
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(same(4)) == 8\n",
    }
]
MBPP = [
    {
        "task_id": 11,
        "text": "Write a function to add two numbers.",
        "code": "def add(a, b):\n    return a + b",
        "test_list": ["assert add(1, 2) == 3", "assert (add(2, 2)) == 4"],
        "test_setup_code": "",
        "challenge_test_list": [],
    }
]
CONTEST = [
    {
        "question_id": "c1",
        "question_content": "Read two numbers, print their sum.",
        "starter_code": "",
        "metadata": "{}",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": "[]",
    },
    {
        "question_id": "c2",
        "question_content": "Double it.",
        "starter_code": "class Solution:\n    def twice(self, x):",
        "metadata": '{"func_name": "twice"}',
        "private_test_cases": "[]",
        "public_test_cases": json.dumps([{"input": "4", "output": "8", "testtype": "functional"}]),
    },
]
ZEBRA = [
    {
        "id": "z",
        "puzzle": "Two houses. Ann does not live in 2.",
        "solution": {"header": ["House", "Name", "Drink"], "rows": [["1", "Ann", "tea"], ["2", "Ben", "milk"]]},
    }
]
AUTOLOGI = [
    {
        "index": 3,
        "prompt": "Two different digits whose sum is 5, as {'a': ., 'b': .}.",
        "code": {
            "Inputs_Check_code": "def inputs_check(x):\n    return set(x) == {'a', 'b'}",
            "Constraint_List_code": "constraint_list = [lambda x: x['a'] + x['b'] == 5, lambda x: x['a'] != x['b']]",
        },
    }
]
LIVEBENCH = [
    {"question_id": "l", "category": "math", "turns": ["What is 6 * 7?"], "ground_truth": "42"},
    {"question_id": "m", "category": "reasoning", "turns": ["Who?"], "ground_truth": "ann, ben"},
]
IFEVAL = [
    {
        "key": 7,
        "prompt": "Write without a comma, in quotes.",
        "kwargs": [{}, {}],
        "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
    }
]
MULTI_IF = [
    {
        "key": "k:1",
        "language": "French",
        "turn_1_prompt": json.dumps({"role": "user", "content": "Sans virgule."}),
        "turn_1_instruction_id_list": ["punctuation:no_comma"],
        "turn_1_kwargs": ["{}"],
    }
]
_SET = {
    "name": "timer.set",
    "description": "d",
    "parameters": {
        "type": "dict",
        "properties": {"minutes": {"type": "integer"}, "label": {"type": "string"}},
        "required": ["minutes"],
    },
}
BFCL = [
    {
        "id": "simple_python_0",
        "question": [[{"role": "user", "content": "5 minutes, please."}]],
        "function": [_SET],
        "ground_truth": [{"timer.set": {"minutes": [5], "label": ["", "egg"]}}],
    },
    {
        "id": "parallel_0",
        "question": [[{"role": "user", "content": "5 and 7 minutes."}]],
        "function": [_SET],
        "ground_truth": [
            {"timer.set": {"minutes": [5], "label": [""]}},
            {"timer.set": {"minutes": [7], "label": [""]}},
        ],
    },
    {"id": "irrelevance_0", "question": [[{"role": "user", "content": "Hello."}]], "function": [_SET]},
]


def call(**arguments: Any) -> str:
    return f'<tool_call>\n{{"name": "timer_set", "arguments": {json.dumps(arguments)}}}\n</tool_call>'


FIXTURES: dict[str, Rows] = {
    "mmlu_redux": CHOICE,
    "mmlu": CHOICE,
    "ceval": COLUMNS,
    "include": COLUMNS,
    "mmmlu": COLUMNS,
    "mlogiqa": COLUMNS,
    "belebele": BELEBELE,
    "gpqa_diamond": GPQA,
    "gsm8k": GSM8K,
    "math500": MATH,
    "aime24": GSM8K,
    "aime25": GSM8K,
    "mt_aime24": POLY,
    "mgsm": POLY,
    "polymath": POLY,
    "humaneval": HUMANEVAL,
    "humaneval_plus": HUMANEVAL,
    "mbpp": MBPP,
    "mbpp_plus": MBPP,
    "livecodebench": CONTEST,
    "codeforces": CONTEST,
    "zebralogic": ZEBRA,
    "autologi": AUTOLOGI,
    "arena_hard": [
        {"uid": "u1", "turns": [{"content": "Write a poem."}]},
        {"question_id": "q2", "turns": ["Tell me."]},
    ],
    "alignbench": [{"question_id": 4, "question": "Warum?", "language": "de"}],
    "creative_writing": [{"id": "1", "writing_prompt": "A story of a lamp."}],
    "writingbench": [{"index": 7, "query": "A letter.", "lang": "en"}],
    "gsm_symbolic": SUMS,
    "translation": PAIRS,
    "names": NAMES,
    "livebench": LIVEBENCH,
    "ifeval": IFEVAL,
    "multi_if": MULTI_IF,
    "bfcl": BFCL,
}

# (benchmark, item, answer, whether it is right)
LABELLED: list[tuple[str, str, str, bool]] = [
    ("math500", "a", "So it is $\\boxed{\\dfrac12}$.", True),
    ("math500", "a", "\\boxed{0.5}", True),
    ("math500", "a", "\\boxed{2}", False),
    ("math500", "a", "one half", False),
    ("math500", "b", "\\boxed{3 \\sqrt2}", True),
    ("math500", "b", "\\boxed{3\\sqrt{3}}", False),
    ("math500", "c", "\\boxed{\\left(2, \\pi\\right)}", True),
    ("math500", "c", "\\boxed{(2, 3)}", False),
    ("gsm8k", "0", "She has \\boxed{4} apples.", True),
    ("gsm8k", "0", "\\boxed{4 apples}", False),
    ("polymath", "2", "\\boxed{3.0}", True),
    ("polymath", "2", "\\boxed{3} or \\boxed{4}", False),
    (
        "zebralogic",
        "z",
        '{"solution": {"House 1": {"Name": "ann", "Drink": "Tea"}, "House 2": {"Name": "Ben", "Drink": "milk"}}}',
        True,
    ),
    (
        "zebralogic",
        "z",
        '{"House 1": {"Name": "Ben", "Drink": "tea"}, "House 2": {"Name": "Ann", "Drink": "milk"}}',
        False,
    ),
    ("livebench", "l", "So **42**.", True),
    ("livebench", "m", "<solution>Ann, Ben</solution>", True),
    ("livebench", "m", "<solution>Ben, Ann</solution>", False),
    ("ifeval", "7", '"Good day."', True),
    ("ifeval", "7", '"Good, day."', False),
    ("ifeval", "7", "Good day.", False),
    ("multi_if", "k:1", "Bonjour.", True),
    ("multi_if", "k:1", "Bonjour, vous.", False),
    ("bfcl", "simple_python_0", call(minutes=5), True),
    ("bfcl", "simple_python_0", call(minutes=5, label="EGG."), True),
    ("bfcl", "simple_python_0", call(minutes=5, label="tea"), False),
    ("bfcl", "simple_python_0", call(minutes="5"), False),
    ("bfcl", "simple_python_0", call(label="egg"), False),
    ("bfcl", "simple_python_0", "I have set it.", False),
    ("bfcl", "parallel_0", call(minutes=7) + "\n" + call(minutes=5), True),
    ("bfcl", "parallel_0", call(minutes=5) + "\n" + call(minutes=5), False),
    ("bfcl", "parallel_0", call(minutes=5), False),
    ("bfcl", "irrelevance_0", "Hello!", True),
    ("bfcl", "irrelevance_0", call(minutes=5), False),
]
RUN: list[tuple[str, str, str, bool]] = [  # in a sandbox
    ("humaneval", "HumanEval/0", "```\npython\ndef double(x):\n    return x + x\n```", True),
    ("humaneval", "HumanEval/0", "    return x + x\n", True),
    ("humaneval", "HumanEval/0", "```python\ndef double(x):\n    return x\n```", False),
    ("mbpp", "11", "```python\ndef add(a, b):\n    return b + a\n```", True),
    ("mbpp", "11", "```python\ndef add(a, b):\n    exit(0)\n```", False),
    ("livecodebench", "c1", "```python\nprint(sum(map(int, input().split())))\n```", True),
    ("livecodebench", "c1", "```python\nprint(4)\n```", False),
    ("livecodebench", "c2", "```python\nclass Solution:\n    def twice(self, x):\n        return 2 * x\n```", True),
    ("autologi", "3", "So {'a': 1, 'b': 4}.", True),
    ("autologi", "3", '```json\n{"a": 2, "b": 2}\n```', False),
]
