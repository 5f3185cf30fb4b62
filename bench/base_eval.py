"""Base evaluation beside lm-eval, item by item: the same file, the same rows, log-likelihoods and continuations.

    python bench/base_eval.py rows runs/base --gsm8k test.jsonl --shots train.jsonl
    R=runs/base; ponder eval MODEL --base --tasks mmlu,gsm8k --n 8 --json $R/ponder.json \\
        --data mmlu=$R/mmlu.jsonl --shots mmlu=$R/mmlu_shots.jsonl \\
        --data gsm8k=$R/gsm8k.jsonl --shots gsm8k=$R/gsm8k_shots.jsonl
    ponder serve MODEL --port 8123 &
    python bench/base_eval.py tasks runs/base                # lm-eval's tasks in the same words
    lm_eval --model local-completions --include_path runs/base/tasks --tasks base_mmlu,base_gsm8k --limit 8 \\
        --log_samples --output_path runs/base/lm \\
        --model_args model=NAME,base_url=http://127.0.0.1:8123/v1/completions,tokenizer=runs/base/tokenizer
    python bench/base_eval.py compare runs/base

The rows of mmlu are ours (arithmetic with four choices), because the test itself is in no package; gsm8k is the
benchmark's own. lm-eval needs a folder with the model's tokenizer, which `tasks` writes; and it must ask for no
repetition penalty, which is 1.1 where Qwen2.5's own defaults hold.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

YAML = """\
task: base_{name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
    shots: {shots}
test_split: test
fewshot_split: shots
fewshot_config:
  sampler: first_n
num_fewshot: {count}
output_type: {kind}
target_delimiter: ""
fewshot_delimiter: "\\n\\n"
{rest}
"""
MMLU = """\
description: "The following are multiple choice questions (with answers) about sums.\\n\\n"
doc_to_text: "{{question.strip()}}{% for c in choices %}\\n{{'ABCD'[loop.index0]}}. {{c}}{% endfor %}\\nAnswer:"
doc_to_choice: [" A", " B", " C", " D"]
doc_to_target: answer
metric_list:
  - metric: acc
"""
GSM8K = """\
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: " {{answer}}"
generation_kwargs:
  until: ["Question:", "</s>", "<|im_end|>"]
  do_sample: false
  temperature: 0.0
  max_gen_toks: 512
  repetition_penalty: 1.0
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    regexes_to_ignore: [",", "\\\\$", "(?s).*#### ", "\\\\.$"]
filter_list:
  - name: strict-match
    filter:
      - function: regex
        regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"
      - function: take_first
"""


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(folder: Path, gsm8k: Path, shots: Path) -> None:
    rng = random.Random(0)
    made = []
    for _ in range(64):
        a, b = rng.randrange(2, 60), rng.randrange(2, 60)
        choices = rng.sample([str(a + b), str(a + b + 1), str(a + b - 2), str(a + b + 10)], 4)
        made.append(
            {
                "question": f"What is {a} + {b}?",
                "choices": choices,
                "answer": choices.index(str(a + b)),
                "subject": "sums",
            }
        )
    write(folder / "mmlu.jsonl", made[8:])
    write(folder / "mmlu_shots.jsonl", made[:8])
    for name, path in (("gsm8k", gsm8k), ("gsm8k_shots", shots)):
        write(folder / f"{name}.jsonl", [json.loads(line) for line in path.read_text().splitlines()[:64]])


def tasks(folder: Path, tokenizer: str) -> None:
    from ponder.text.tokenizer.tokenizer import Tokenizer
    from ponder.text.tokenizer_files import save

    (folder / "tasks").mkdir(exist_ok=True)
    (folder / "tokenizer").mkdir(exist_ok=True)
    save(Tokenizer.packaged(tokenizer), folder / "tokenizer")
    for name, count, kind, rest in (("mmlu", 5, "multiple_choice", MMLU), ("gsm8k", 4, "generate_until", GSM8K)):
        files = {key: (folder / f"{name}{end}.jsonl").resolve() for key, end in (("data", ""), ("shots", "_shots"))}
        (folder / "tasks" / f"{name}.yaml").write_text(
            YAML.format(name=name, count=count, kind=kind, rest=rest, **files)
        )


def compare(folder: Path) -> None:
    ours = json.loads((folder / "ponder.json").read_text())["answers"]
    for name in ("mmlu", "gsm8k"):
        files = sorted((folder / "lm").rglob(f"samples_base_{name}_*.jsonl"))
        theirs = {row["doc_id"]: row for row in map(json.loads, files[-1].read_text().splitlines())}
        mine = {a["place"]: a for a in ours if a["task"] == name and a["place"] in theirs}
        worst, equal, same = 0.0, 0, 0
        for place, answer in mine.items():
            row = theirs[place]
            if name == "mmlu":
                found = [float(r[0][0]) for r in row["resps"]]
                worst = max(worst, *(abs(a - b) for a, b in zip(found, answer["logprobs"])))
                ok = bool(row["acc"])
            else:
                equal += row["resps"][0][0].strip() == answer["text"].strip()
                ok = bool(row["exact_match"])
            same += ok == answer["ok"]
            if ok != answer["ok"]:
                print(name, place, "differs:", json.dumps([answer["text"], row["resps"]])[:600])
        what = f"log-likelihoods differ by {worst:.2g} at most" if name == "mmlu" else f"{equal} texts are equal"
        right = sum(a["ok"] for a in mine.values())
        print(f"{name}: {len(mine)} items, {right} right here, {same} judged alike; {what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("step", choices=("rows", "tasks", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gsm8k", type=Path)
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--tokenizer", default="qwen2.5")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.step == "rows":
        rows(args.folder, args.gsm8k, args.shots)
    elif args.step == "tasks":
        tasks(args.folder, args.tokenizer)
    else:
        compare(args.folder)


if __name__ == "__main__":
    main()
