"""BFCL (Berkeley function-calling leaderboard, v4 data and checker of `bfcl-eval`): Ponder's tool calling, llama.cpp's
beside it, the same questions and tools.

    python bench/bfcl.py questions --only simple_python,multiple,parallel,irrelevance --each 50 runs/bfcl
    python bench/bfcl.py answer --model MODEL runs/bfcl                    # Ponder; resumable
    LLAMA_PYTHON bench/llama_tools.py FILE.gguf runs/bfcl/questions.jsonl runs/bfcl/llama.jsonl
    python bench/bfcl.py score runs/bfcl

`questions` and `score` need the package with its data and checker, nothing of what it depends on:
    pip install --no-deps bfcl-eval && pip install tree_sitter tree_sitter_java tree_sitter_javascript
`irrelevance` is right when no offered tool is called; a name that the model made up is no call of a tool.
Greedy. Names with dots are written with underscores, as for every model with OpenAI's form of tools.
"""

import argparse
import json
import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}  # of BFCL, in JSON schema
MAX_TOKENS = 512


def questions(folder: Path, only: list[str], each: int | None) -> None:
    data = _data()
    with (folder / "questions.jsonl").open("w") as sink:
        for category in only:
            lines = (data / f"BFCL_v4_{category}.json").read_text().splitlines()
            for line in lines[:each]:
                entry = json.loads(line)
                tools = [{"type": "function", "function": _function(f)} for f in entry["function"]]
                print(json.dumps({"id": entry["id"], "messages": entry["question"][0], "tools": tools}), file=sink)


def _function(function: dict[str, Any]) -> dict[str, Any]:
    return {**function, "name": function["name"].replace(".", "_"), "parameters": _schema(function["parameters"])}


def _schema(schema: Any) -> Any:
    if isinstance(schema, dict):
        fixed = {k: _schema(v) for k, v in schema.items()}
        if isinstance(fixed.get("type"), str):
            fixed["type"] = TYPES.get(fixed["type"], fixed["type"])
        return fixed
    return [_schema(v) for v in schema] if isinstance(schema, list) else schema


def answer(folder: Path, model: str, dtype: str, batch: int) -> None:
    """`batch` questions at a time; finished lines are kept, so a stopped run goes on."""
    from ponder import LLM
    from ponder.agent.models import for_tools
    from ponder.core.event import TextDelta, ToolCallDone

    out = folder / f"ponder-{dtype}.jsonl"
    done = {json.loads(line)["id"] for line in out.read_text().splitlines()} if out.exists() else set()
    todo = [q for q in map(json.loads, (folder / "questions.jsonl").open()) if q["id"] not in done]
    greedy = {"temperature": 0.0, "repetition_penalty": 1.0, "max_tokens": MAX_TOKENS}
    with LLM(model, dtype=dtype) as llm, out.open("a") as sink:
        for start in range(0, len(todo), batch):
            chunk = todo[start : start + batch]
            requests = [llm.request(q["messages"], tools=q["tools"], **greedy) for q in chunk]
            streams = [for_tools(llm).stream(request) for request in requests]
            for question, stream in zip(chunk, streams, strict=True):
                events = list(stream)
                made = [e.call for e in events if isinstance(e, ToolCallDone)]
                calls = [{c.name: json.loads(c.arguments)} for c in made]
                text = "".join(e.text for e in events if isinstance(e, TextDelta))
                written = llm.tokenizer.decode(list(stream.turn_ids() or ()))
                row = {"id": question["id"], "calls": calls, "text": text, "written": written}
                print(json.dumps(row), file=sink, flush=True)


def score(folder: Path) -> None:
    ast_checker, python = _checker()
    asked = {q["id"]: q for q in map(json.loads, (folder / "questions.jsonl").open())}
    truths: dict[str, Any] = {}
    for category in sorted({id_.rsplit("_", 1)[0] for id_ in asked} - {"irrelevance"}):
        lines = (_data() / "possible_answer" / f"BFCL_v4_{category}.json").read_text().splitlines()
        truths |= {t["id"]: t["ground_truth"] for t in map(json.loads, lines)}
    raw = {e["id"]: e for c in {i.rsplit("_", 1)[0] for i in asked} for e in _entries(c)}
    for file in sorted(folder.glob("*.jsonl")):
        if file.name == "questions.jsonl":
            continue
        right: dict[str, list[bool]] = defaultdict(list)
        for row in map(json.loads, file.open()):
            category = row["id"].rsplit("_", 1)[0]
            if category == "irrelevance":
                offered = {tool["function"]["name"] for tool in asked[row["id"]]["tools"]}
                right[category].append(not any(name in offered for call in row["calls"] for name in call))
                continue
            verdict = ast_checker(raw[row["id"]]["function"], row["calls"], truths[row["id"]], python, category, "any")
            right[category].append(bool(verdict["valid"]))
        for category, found in sorted(right.items()):
            print(f"{file.stem:16} {category:16} {sum(found):4} of {len(found):4}  {sum(found) / len(found):.1%}")


def _entries(category: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_data() / f"BFCL_v4_{category}.json").read_text().splitlines()]


def _data() -> Path:
    import bfcl_eval

    return Path(bfcl_eval.__path__[0]) / "data"


def _checker() -> tuple[Any, Any]:
    """The package's own checker, without the table of models, which imports every vendor's library."""
    config = types.ModuleType("bfcl_eval.constants.model_config")

    class AnyModel(dict):  # type: ignore[type-arg]
        def __missing__(self, name: str) -> Any:
            return types.SimpleNamespace(underscore_to_dot=True)

    config.MODEL_CONFIG_MAPPING = AnyModel()  # type: ignore[attr-defined]
    sys.modules["bfcl_eval.constants.model_config"] = config
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    return ast_checker, Language.PYTHON


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("questions", "answer", "score"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="simple_python,multiple,parallel,irrelevance")
    parser.add_argument("--each", type=int, help="the first so many of each category")
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.what == "questions":
        questions(args.folder, args.only.split(","), args.each)
    elif args.what == "answer":
        answer(args.folder, args.model, args.dtype, args.batch)
    else:
        score(args.folder)


if __name__ == "__main__":
    main()
