"""`ponder tokenize | render | parse`: one JSON object a line in, one a line out, in order, flushed line by line.

    echo '{"text": "hello"}' | ponder tokenize

A line that cannot be served becomes {"error": ..., "line": n}; the others still work, and the exit code is 1.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any

from ponder.core.errors import UserError

DESCRIPTION = {
    "tokenize": """Text to token ids, one JSON object a line.

in:  {"text": "...", "allow_control"?}      out: {"ids": [...], "tokens": [...]}
in:  {"ids": [...]}                         out: {"text": "..."}

Text never becomes a control token such as <|im_end|>, unless "allow_control" is true.""",
    "render": """Messages to the prompt that a model sees, one JSON object a line.

in:  {"messages": [...], "tools"?, "enable_thinking"?, "add_generation_prompt"?, "history"?, "template"?,
      "allow_control"?}
out: {"text": "...", "ids": [...], "spans": [...], "warnings": [...]}""",
    "parse": """Model output to reasoning, answer and tool calls, one JSON object a line.

in:  {"ids": [...] or "text": "...", "prompt"?}
out: {"reasoning": "..." or null, "content": "...", "tool_calls": [...], "malformed_calls": n}

Text is read with its control tokens: it stands for what a model produced.""",
}
NOTES = """\
Every line is answered before the next one is read. A line that cannot be served gives
{"error": "...", "line": n} in its place, the others still work, and the exit code is then 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=parser.prog.split()[-1])
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="model folder, tokenizer.json or GGUF file to take the vocabulary from (default: Qwen3's, packaged)",
    )


def run(args: argparse.Namespace) -> int:
    from ponder.text import jsonl
    from ponder.text.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_path(args.tokenizer) if args.tokenizer else Tokenizer.packaged()
    serve = {"tokenize": jsonl.tokenize, "render": jsonl.render, "parse": jsonl.parse}[args.command]
    return pump(sys.stdin.buffer, sys.stdout.buffer, lambda raw: serve(raw, tokenizer))


def pump(lines: Iterable[bytes], sink: IO[bytes], serve: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Answer each line; blank lines are skipped (but counted). Returns the exit code."""
    failed = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        answer = _answer(line, number, serve)
        failed |= "error" in answer
        # A lone surrogate cannot be UTF-8; its backslash form is exactly the JSON escape.
        sink.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        sink.flush()
    return int(failed)


def _answer(line: bytes, number: int, serve: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    try:
        return serve(_read(line))
    except UserError as e:
        return {"error": str(e), "line": number}


def _read(line: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as e:
        raise UserError(f"not UTF-8: {e.reason} at byte {e.start}") from e
    except RecursionError as e:
        raise UserError("nested too deeply") from e
    except ValueError as e:  # JSONDecodeError, or an integer of thousands of digits
        raise UserError(f"not JSON: {e}") from e
    if not isinstance(raw, dict):
        raise UserError(f"a line must be a JSON object, got {type(raw).__name__}")
    return raw
