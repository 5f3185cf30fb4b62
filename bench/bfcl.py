"""BFCL (Berkeley function-calling leaderboard, v4 data and checker of `bfcl-eval`): Ponder's tool calling, llama.cpp's
beside it, the same questions and tools.

    python bench/bfcl.py questions --only simple_python,multiple,parallel,irrelevance --each 50 runs/bfcl
    python bench/bfcl.py answer --model MODEL runs/bfcl                    # Ponder; resumable
    python bench/llama_tools.py FILE.gguf runs/bfcl/questions.jsonl runs/bfcl/llama.jsonl
    python bench/bfcl.py score runs/bfcl

`questions` and `score` need the package with its data and checker, nothing of what it depends on:
    pip install --no-deps bfcl-eval && pip install tree_sitter tree_sitter_java tree_sitter_javascript
Greedy. `irrelevance` is right when there is no call. Names with dots are written with underscores, as for every model
with OpenAI's form of tools.
"""

import argparse
import json
import sys
import types
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ponder import LLM
    from ponder.core.message import ToolCall

TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}  # of BFCL, in JSON schema
MAX_TOKENS = 512


def questions(folder: Path, only: list[str], each: int | None) -> None:
    with (folder / "questions.jsonl").open("w") as sink:
        for category in only:
            for entry in _rows(_data() / f"BFCL_v4_{category}.json")[:each]:
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
    """What the model writes, and its calls in tags. `batch` questions at once; rows are kept as they are finished."""
    from ponder import LLM

    out = folder / "ponder.jsonl"
    done = {row["id"] for row in _rows(out)}
    todo = [q for q in _rows(folder / "questions.jsonl") if q["id"] not in done]
    with LLM(model, dtype=dtype, max_batch=batch) as llm, out.open("a") as sink, ThreadPoolExecutor(batch) as pool:
        try:
            for asked in as_completed([pool.submit(_ask, llm, question) for question in todo]):
                print(json.dumps(asked.result()), file=sink, flush=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _ask(llm: "LLM", question: dict[str, Any]) -> dict[str, Any]:
    greedy = {"temperature": 0.0, "repetition_penalty": 1.0, "max_tokens": MAX_TOKENS}
    message = llm.chat(question["messages"], tools=question["tools"], **greedy).message
    return {"id": question["id"], "calls": [_row(call) for call in message.tool_calls], "text": message.text}


def _row(call: "ToolCall") -> dict[str, Any]:
    return {call.name: json.loads(call.arguments)}


def score(folder: Path) -> None:
    """Each file's calls, and for files with the text of a reply those that agents read out of plain JSON as well."""
    from ponder.text.calls.untagged_calls import read_calls

    asked = {q["id"]: q for q in _rows(folder / "questions.jsonl")}
    right = _judge(asked)
    for file in sorted(folder.glob("*.jsonl")):
        if file.name == "questions.jsonl":
            continue
        plain: dict[str, list[bool]] = defaultdict(list)
        read: dict[str, list[bool]] = defaultdict(list)
        for row in _rows(file):
            names = {tool["function"]["name"] for tool in asked[row["id"]]["tools"]}
            plain[_category(row["id"])].append(right(row["id"], row["calls"]))
            calls = row["calls"] or [_row(call) for call in read_calls(row["text"], names)]
            read[_category(row["id"])].append(right(row["id"], calls))
        for title, results in [(file.stem, plain), (f"{file.stem}, JSON read", read)][: 1 + (read != plain)]:
            for category, found in sorted(results.items()):
                print(f"{title:20} {category:14} {sum(found):4} of {len(found):4}  {sum(found) / len(found):.1%}")


def _judge(asked: dict[str, Any]) -> Callable[[str, list[dict[str, Any]]], bool]:
    ast_checker, python = _checker()
    categories = {_category(id_) for id_ in asked}
    functions = {e["id"]: e["function"] for c in categories for e in _rows(_data() / f"BFCL_v4_{c}.json")}
    truths = {
        t["id"]: t["ground_truth"]
        for c in categories - {"irrelevance"}
        for t in _rows(_data() / "possible_answer" / f"BFCL_v4_{c}.json")
    }

    def right(id_: str, calls: list[dict[str, Any]]) -> bool:
        if _category(id_) == "irrelevance":
            return not calls
        verdict = ast_checker(functions[id_], calls, truths[id_], python, _category(id_), "any")
        return bool(verdict["valid"])

    return right


def _category(id_: str) -> str:
    return id_.rsplit("_", 1)[0]


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


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
