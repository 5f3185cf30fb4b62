"""The loop guard: loops are found in time, honest repetition is left alone (RL-2: 0 of 200 and more)."""

import base64
import random
import time

import numpy as np
import pytest

from ponder.engine.decoding.loop_guard import MAX_PERIOD, MIN_IDS_SIGNS, MIN_IDS_WORDS, MIN_REPEATS, LoopGuard
from ponder.text.tokenizer.tokenizer import Tokenizer

LOOPS = [
    "Wait, let me check that again. ",
    "So the answer is 42. But wait, ",
    "等一下，让我再检查一遍。",
    "the the ",
    "I need to compute 3 + 4 = 7. Then 7 * 2 = 14. Then 14 - 7 = 7. So 7.\n\nHmm, but that is what I had before.\n\n",
    "Подождите, проверим ещё раз. ",
]
SIGNS = ["!", "0, ", "-", "\n", " . ", "| | ", "    x = f(x)\n"]


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return Tokenizer.packaged()


def first_hit(tok: Tokenizer, ids: list[int]) -> int | None:
    """How many ids are read when the guard fires, None when it never does."""
    guard = LoopGuard(tok.decode)
    return next((n for n, id_ in enumerate(ids, 1) if guard.feed(id_)), None)


@pytest.mark.parametrize("text", LOOPS)
def test_a_loop_of_words_is_found_within_512_ids(tok: Tokenizer, text: str) -> None:
    before = tok.encode("We want the area of the triangle. First, note that the angle is right.\n")
    hit = first_hit(tok, before + tok.encode(text * 400))
    assert hit is not None and len(before) < hit <= len(before) + 512


@pytest.mark.parametrize("text", SIGNS)
def test_a_loop_of_signs_is_found_in_the_end(tok: Tokenizer, text: str) -> None:
    ids = tok.encode(text) * 3000
    hit = first_hit(tok, ids)
    assert hit is not None and MIN_IDS_WORDS < hit <= MIN_IDS_SIGNS + 64


def test_every_period_up_to_64_is_found_at_eight_repeats_of_256_ids(tok: Tokenizer) -> None:
    words = list(dict.fromkeys(tok.encode(" ".join(f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)))))
    rng = random.Random(0)
    for period in range(1, 65):
        block = rng.sample(words, period) if period > 1 else tok.encode("word")
        hit = first_hit(tok, block * (1000 // period + 20))
        assert hit is not None and hit <= max(8 * period, 256) + 1, period


def test_a_period_of_65_is_no_loop(tok: Tokenizer) -> None:
    assert first_hit(tok, list(range(1000, 1065)) * 40) is None


def honest_texts() -> list[str]:
    """Texts that repeat for a reason: tables, grids, rulers, code, data, art, verse, lists."""
    rng = random.Random(7)
    out = ["-" * n for n in (10, 40, 80, 200, 1000)] + ["=" * 80 + "\n" + "*" * 80, " " * 500, "\n" * 60]
    for rows in (3, 5, 8, 12, 20, 30):
        out.append("| a | b | c |\n|---|---|---|\n" + "".join(f"| {i} | {i * i} | yes |\n" for i in range(rows)))
        out.append("| x | y |\n|---|---|\n" + "|   |   |\n" * rows)
        out.append("".join("  | " + "name" + str(i) + " | 0 | 0 | 0 |\n" for i in range(rows)))
        out.append("\n".join("(" + ", ".join(["0"] * 3) + ")," for _ in range(rows)))
        out.append("\n".join(f"INSERT INTO t (a, b) VALUES ({i}, 'x{i}');" for i in range(rows)))
        out.append("\n".join(f"self.w{i} = self.w{i} + 1" for i in range(rows)))
        out.append("<ul>\n" + "".join(f"  <li>item {i}</li>\n" for i in range(rows)) + "</ul>")
    for n in (4, 8, 9, 10, 12, 15):
        out.append("[" + ",\n ".join("[" + ", ".join(["0"] * n) + "]" for _ in range(n)) + "]")
        out.append("\n".join(" ".join("1" if i == j else "0" for j in range(n)) for i in range(n)))
        out.append("\n".join("".join("#" if (i + j) % 2 else "." for j in range(n)) for i in range(n)))
        out.append("\n".join("." * n for _ in range(n)))
        out.append("+" + ("---+" * n) + "\n" + (("|   " * n + "|\n") + ("+" + "---+" * n + "\n")) * min(n, 9))
        out.append("\n".join(" " * (n - i) + "*" * (2 * i + 1) for i in range(n)))
        out.append("[" + ", ".join(["False"] * n) + "]")
        out.append("\\begin{pmatrix}\n" + " \\\\\n".join(" & ".join(["0"] * n) for _ in range(n)) + "\n\\end{pmatrix}")
    for n in (30, 100, 300):
        out.append(base64.b64encode(bytes(n)).decode())
        out.append(base64.b64encode(rng.randbytes(n)).decode())
        out.append(" ".join(f"{b:02x}" for b in rng.randbytes(n)))
        out.append(", ".join(str(rng.randrange(1000)) for _ in range(n)))
        out.append(", ".join(str(i) for i in range(n)))
        out.append("".join(rng.choice("ACGT") for _ in range(n)))
        out.append(bin(rng.getrandbits(n)))
        out.append("3." + "3" * n)
        out.append("1" + "0" * n)
    out += [
        "ha" * 40,
        "la la la " * 20,
        "na " * 16 + "Batman!",
        "I love you. " * 40,
        "很好" * 30,
        "哈" * 100,
        "👍" * 40,
    ]
    out += ["row, row, row your boat\ngently down the stream\n" * 4, "We will, we will rock you\n" * 8]
    out += [
        f"def f{k}(x):\n" + "".join(f"    if x == {i}:\n        return {i * k}\n" for i in range(25)) for k in range(9)
    ]
    out += ["".join(f"{a} x {b} = {a * b}\n" for a in range(1, k) for b in range(1, 13)) for k in range(2, 13)]
    out += ["".join(f"{k}. Step {k}: take {k} and add {i}.\n" for k in range(1, 30)) for i in range(10)]
    out += ["\n".join("nop" for _ in range(k)) for k in (8, 16, 32, 64)]
    out += ["{" + ", ".join(f'"k{i}": null' for i in range(k)) + "}" for k in (5, 50, 150)]
    out += ["[" + ", ".join(['{"a": 0, "b": 0}'] * k) + "]" for k in (5, 12, 20)]
    out += ["x" + "\t" * k + "y" for k in (4, 40, 100)] + ["\n".join("    pass" for _ in range(k)) for k in (3, 20, 60)]
    out += ["".join(rng.choice(" .:-=+*#%@") for _ in range(60 * k)) for k in range(1, 12)]
    out += [
        "\n".join(
            "".join("@" if (x - 20) ** 2 / 4 + (y - 8) ** 2 < r * r else " " for x in range(40)) for y in range(16)
        )
        for r in range(2, 9)
    ]
    out += ["digraph {" + "".join(f" n{i} -> n{i + 1};" for i in range(k)) + " }" for k in (10, 60)]
    out += ["\n".join(f"2026-11-{d:02d}T00:00:00Z INFO ok" for d in range(1, 31))]
    out += ["\n".join(f"- [ ] task {c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    out += ["".join(f"assert f({i}, {j}) == {i + j}\n" for i in range(k) for j in range(k)) for k in range(3, 9)]
    out += ["\n".join(f"{w} {w} {w}" for w in ("one", "two", "three", "four", "five", "six"))]
    out += ["|" + "█" * k + "░" * (50 - k) + f"| {2 * k}%\n" for k in range(0, 50, 5)]
    return out


def test_honest_repetition_is_not_cut(tok: Tokenizer) -> None:
    texts = honest_texts()
    assert len(set(texts)) >= 200
    cut = [t[:60] for t in texts if first_hit(tok, tok.encode(t)) is not None]
    assert cut == []


@pytest.mark.flaky(reruns=2)  # judges time
def test_random_ids_never_fire_and_cost_little(tok: Tokenizer) -> None:
    ids = np.random.default_rng(0).integers(0, 150_000, 20_000).tolist()
    start = time.thread_time()
    assert first_hit(tok, ids) is None
    assert (time.thread_time() - start) / len(ids) < 100e-6


def test_counting_in_lots_is_counting_one_by_one() -> None:
    """The plain definition, id by id, on streams that repeat a little, break off and begin again."""
    rng = random.Random(8)
    text = "word"
    for _ in range(20):
        stream: list[int] = []
        while len(stream) < 1500:
            block = [rng.randrange(4) for _ in range(rng.randint(1, 70))]
            stream += block * rng.randint(1, 40)
            stream += [rng.randrange(4) for _ in range(rng.randint(0, 3))]
        guard = LoopGuard(lambda ids: text)
        runs = [0] * (MAX_PERIOD + 1)
        for at, id_ in enumerate(stream):
            for period in range(1, MAX_PERIOD + 1):
                runs[period] = runs[period] + 1 if at >= period and stream[at - period] == id_ else 0
            loops = any(runs[p] >= max(p * MIN_REPEATS, MIN_IDS_WORDS) - p for p in range(1, MAX_PERIOD + 1))
            assert guard.feed(id_) == loops, at
