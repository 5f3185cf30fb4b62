"""The `ponder` command: a table of commands, imported only when used, and one place where errors become exit codes.

    ponder --help            # reads this table only: no numpy, no tokenizer, no model code
    ponder run --help        # imports that one command

A command is a module with `add_arguments(parser)` and `run(args) -> exit code`; heavy imports go inside `run`.
Exit codes: 0 done, 1 the command could not finish, 2 the input was wrong, 130 Ctrl-C, 141 the reader of the pipe left.
"""

import argparse
import difflib
import io
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from ponder import __version__
from ponder.core.errors import UserError


class Command(NamedTuple):
    """settings: what its variables in the environment begin with; "" for a command without a file of settings."""

    module: str
    help: str
    settings: str = ""


GROUPS: dict[str, dict[str, Command]] = {
    "ask": {
        "run": Command("run", "Ask a model one question, or chat with it"),
        "agent": Command("agent", "Let a model act: run code, read files and pages, use MCP servers"),
        "logs": Command("logs", "List, search, show and export what was said"),
        "serve": Command("serve", "Serve models over HTTP (OpenAI-compatible)", "PONDER_SERVE_"),
        "key": Command("key", "Named keys of a server: make, list, limit, revoke"),
        "mcp": Command("mcp", "Serve models to MCP clients (chat, think, run code)"),
        "mcp-check": Command("mcp_check", "Try a config of MCP servers and list their tools"),
    },
    "models": {
        "pull": Command("models.pull", "Download a model"),
        "list": Command("models.list", "List the models that are here, and those that can be pulled"),
        "show": Command("models.show", "Show a model: shape, parameters, memory, context"),
        "plan": Command("models.plan", "Tell whether a model fits a machine, and how fast its memory lets it be"),
        "rm": Command("models.rm", "Delete a downloaded model"),
        "convert": Command("models.convert", "Write a model as a Hugging Face folder or a GGUF file"),
        "export": Command("models.convert", "The same as convert"),
        "quantize": Command("models.quantize", "Make a model smaller (int8, int4) and measure what it costs"),
        "eval": Command("eval", "Score a model on tasks, thinking and not, over thinking budgets"),
    },
    "make": {
        "data": Command("data", "Make text to learn from, clean and without repetitions"),
        "train": Command("train", "Train a model by a recipe, from text to one that chats"),
        "learn": Command("learn", "Learn from sessions that you choose, as an adapter"),
    },
    "machine": {
        "backup": Command("backup", "Keep chats, keys and workspaces in one file, while the server runs"),
        "restore": Command("backup", "Put a backup back"),
        "doctor": Command("doctor", "Check this machine and this installation"),
        "bench": Command("bench", "Measure speed and memory"),
    },
    "debug (JSON lines in, JSON lines out)": {
        "tokenize": Command("jsonl", "Text to token ids"),
        "render": Command("jsonl", "Messages to the prompt a model sees"),
        "parse": Command("jsonl", "Model output to reasoning, answer and tool calls"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(argv: list[str] | None = None) -> int:
    prepare_streams()
    try:
        code = dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except UserError as e:
        return fail(str(e), 2)
    except BrokenPipeError:  # the reader left (`| head -1`), nobody is there to tell
        drop_unwritten()
        return 141
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except OSError as e:
        drop_unwritten()
        return fail(in_words(e), 1)
    except MemoryError:
        return fail("out of memory; take a smaller model, --dtype int4, or a smaller --max-context", 1)


def prepare_streams() -> None:
    """A stream that the caller closed becomes /dev/null. What an old locale cannot show is escaped, not a crash."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_unwritten() -> None:
    """Python flushes stdout once more at exit and would complain; what cannot be written goes nowhere instead."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def dispatch(argv: list[str]) -> int:
    """Run the command that argv names and return its exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"ponder {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        raise UserError(unknown(argv[0]))
    module, parser = build_parser(argv[0])
    if prefix := COMMANDS[argv[0]].settings:
        from ponder.cli import settings

        settings.apply(parser, argv[1:], os.environ, prefix)
    code: int = module.run(parser.parse_intermixed_args(argv[1:]))  # `run MODEL --think PROMPT`
    return code


def build_parser(name: str) -> tuple[ModuleType, argparse.ArgumentParser]:
    """The module of a command and its parser; the module's DESCRIPTION and NOTES become help and reference."""
    module = import_module(f"ponder.cli.commands.{COMMANDS[name].module}")
    parser = argparse.ArgumentParser(
        prog=f"ponder {name}",
        description=module.DESCRIPTION[name] if isinstance(module.DESCRIPTION, dict) else module.DESCRIPTION,
        epilog=module.NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.register("type", int, whole)
    parser.register("type", float, number)
    module.add_arguments(parser)
    return module, parser


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def overview() -> str:
    lines = ["usage: ponder COMMAND [...]", ""]
    for title, group in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:10} {command.help}" for name, command in group.items()), ""]
    lines += [
        "ponder COMMAND --help tells more; ponder --version prints the version.",
        "Start here:  ponder run",
    ]
    return "\n".join(lines)


def unknown(word: str) -> str:
    close = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f"Did you mean `ponder {close[0]}`?" if close else "`ponder --help` lists the commands."
    return f"there is no command {word!r}. {hint}"


def in_words(error: OSError) -> str:
    """The file and the reason, without numbers; where it is Ponder's own folder, how to take another."""
    from pathlib import Path

    from ponder.model.hub.data_folder import data_home
    from ponder.model.hub.store import home

    reason = error.strerror or str(error)
    if not isinstance(error.filename, str):
        return reason
    path, ours = Path(error.filename).absolute(), (home().absolute(), data_home().absolute())
    is_ours = any(own in (path, *path.parents) or path in own.parents for own in ours)
    hint = "; PONDER_HOME names another folder" if is_ours else ""
    return f"{error.filename}: {reason}{hint}"


def fail(message: str, code: int) -> int:
    print(f"ponder: {message}", file=sys.stderr)
    return code
