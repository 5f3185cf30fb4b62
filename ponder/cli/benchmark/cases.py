"""The cases of `ponder bench`: how they are named, and what each one gives.

decode8@2048   ids a second of 8 streams, each after 2048 ids (without @: --context, else 512 for one stream, 128)
prefill2048    prompt ids a second of 2048 new ids, and the seconds to the first id
prefix2048     the same when all but the last 16 of them are in the cache
ttft           seconds to the first id of a short question (32 ids)
load           seconds from the start of a fresh process to its first id
perplexity     on the text of `ponder quantize`
golden         of three plain questions, how many get the right answer (greedy, without thinking)
"""

import re
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.cli.benchmark.roofline import Roofline
    from ponder.engine.llm import LLM
    from ponder.model.model import Model

LONG = 5.0  # seconds: such a run warms itself up
QUESTION = 32  # ids of a short question
GOLDEN = (  # any model that is not broken knows these
    ("What is 7 + 5? Answer with the number only.", "12"),
    ("What is the capital of France? Answer with one word.", "paris"),
    ("Repeat this word and nothing else: zebra", "zebra"),
)
Row = dict[str, float]  # what a case gave: "tokens_per_s", "first_id_s", "percent_of_bandwidth", ...


class Case(NamedTuple):
    """name: as it was asked for. size: streams of a decode, ids of a prompt, else 0. context: of a decode."""

    name: str
    kind: str
    size: int = 0
    context: int = 0


def parse_cases(only: str, context: int | None = None) -> list[Case]:
    """ "decode8,perplexity" -> cases. Raises UserError."""
    cases = []
    for word in map(str.strip, only.split(",")):
        if match := re.fullmatch(r"decode([1-9]\d{0,3})(?:@([1-9]\d{0,6}))?", word):
            streams = int(match[1])
            length = int(match[2] or context or (512 if streams == 1 else 128))
            cases.append(Case(word, "decode", streams, length))
        elif match := re.fullmatch(r"(prefill|prefix)([1-9]\d{0,6})", word):
            cases.append(Case(word, match[1], int(match[2])))
        elif word in ("ttft", "load", "perplexity", "golden"):
            cases.append(Case(word, word, QUESTION if word == "ttft" else 0))
        else:
            raise UserError(
                f"--only {word}: decodeN, decodeN@CONTEXT, prefillN, prefixN, ttft, load, perplexity or "
                "golden, separated by commas", param="only",
            )  # fmt: skip
        if cases[-1].kind == "prefix" and cases[-1].size <= 16:
            raise UserError(f"--only {word}: more than 16 ids, since the last 16 are new", param="only")
    return cases


def run_case(case: Case, llm: "LLM", model: "Model", rounds: int, kv_dtype: str) -> Row:
    """One case of a loaded model (`load` is not one of them), measured `rounds` times after a warm-up."""
    from ponder.cli.benchmark import measure
    from ponder.cli.benchmark.roofline import prefill_operations, step_bytes

    if case.kind == "decode":
        rate = repeat(partial(measure.decode, llm, case.size, case.context), rounds)
        steps = rate / case.size
        read = steps * step_bytes(model, case.size, case.context + measure.IDS / 2, kv_dtype)
        return {
            "tokens_per_s": rate,
            "ms_per_step": 1000 / steps,
            "read_gb_per_s": read / 1e9,
        }
    if case.kind == "prefill":
        seconds = repeat(partial(measure.prefill, llm, case.size), rounds)
        operations = prefill_operations(model, case.size) / seconds
        return {
            "tokens_per_s": case.size / seconds,
            "first_id_s": seconds,
            "tera_ops_per_s": operations / 1e12,
        }
    if case.kind == "prefix":
        seconds = repeat(partial(measure.prefix_hit, llm, case.size), rounds)
        return {"tokens_per_s": case.size / seconds, "first_id_s": seconds}
    if case.kind == "ttft":
        return {"first_id_s": repeat(partial(measure.prefill, llm, case.size), rounds)}
    if case.kind == "perplexity":
        return {"perplexity": perplexity(llm, model)}
    assert case.kind == "golden"
    return {"right_of_3": float(sum(right(llm, question, answer) for question, answer in GOLDEN))}


def shares(row: Row, limits: "Roofline") -> Row:
    """The row, and how much of what the machine can do that was."""
    if "read_gb_per_s" in row:
        limit = limits.bandwidth / 1e9
        return row | {"bandwidth_gb_per_s": limit, "percent_of_bandwidth": 100 * row["read_gb_per_s"] / limit}
    if "tera_ops_per_s" in row:
        limit = limits.compute / 1e12
        return row | {"compute_tera_ops_per_s": limit, "percent_of_compute": 100 * row["tera_ops_per_s"] / limit}
    return row


def repeat(once: Callable[[int], float], rounds: int) -> float:
    """once(seed) -> a number; the median of `rounds` after one to warm up. A first one that took long counts itself."""
    start = time.perf_counter()
    first = once(0)
    found = [first] if time.perf_counter() - start > LONG else []
    return median([*found, *(once(seed) for seed in range(1, rounds + 1 - len(found)))])


def right(llm: "LLM", question: str, answer: str) -> bool:
    text = llm.chat(question, thinking=False, temperature=0, max_tokens=64).text.lower()
    return answer in re.findall(r"\w+", text)


def perplexity(llm: "LLM", model: Any) -> float:
    from ponder.cli.terminal.progress import progress
    from ponder.model.quantise import quality

    ids, _ = quality.read_text(llm.tokenizer)
    with progress("reading", "tokens") as tick:
        return quality.perplexity(model, ids, tick)
