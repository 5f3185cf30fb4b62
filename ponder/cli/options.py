"""The flags that commands share, and how they become engine values: the model, sampling, thinking, grammar."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.core.params import Grammar, SamplingParams, Thinking

SAMPLING: dict[str, tuple[type, str]] = {
    "temperature": (float, "randomness; 0 is greedy"),
    "top_p": (float, "keep the most likely ids up to this probability mass"),
    "top_k": (int, "keep this many most likely ids; 0 keeps all"),
    "min_p": (float, "drop ids less likely than this share of the best"),
    "presence_penalty": (float, "lower the logits of ids that are already in the answer, -2 to 2"),
    "frequency_penalty": (float, "the same, for each time they occur, -2 to 2"),
    "repetition_penalty": (float, "divide the logits of ids seen in prompt or answer; 1 is off"),
    "seed": (int, "the same seed gives the same text"),
    "max_tokens": (int, "most ids to generate, thoughts included"),
}


def add_load_flags(parser: argparse.ArgumentParser, adapter: str = "PATH") -> None:
    """adapter: what --adapter takes; a server offers each as a model of that name."""
    group = parser.add_argument_group("how the model is loaded")
    group.add_argument("--dtype", choices=("auto", "f32", "bf16", "int8", "int4"), default="auto",
                       help="precision of the weights; auto keeps what the file has (default: auto)")  # fmt: skip
    group.add_argument("--max-context", type=int, metavar="N",
                       help="longest context in tokens; past the native length YaRN is chosen for you")  # fmt: skip
    group.add_argument("--kv-dtype", choices=("auto", "bf16", "int8", "f32"), default="auto",
                       help="precision of keys and values in the cache; auto is int8 with int4 weights, bf16 "
                       "otherwise (default: auto)")  # fmt: skip
    group.add_argument("--adapter", action="append", default=[], metavar=adapter,
                       help="a LoRA adapter to merge into the weights: a PEFT folder or a GGUF file"
                       + ("; repeat it for further models of these names" if "NAME" in adapter else ""))  # fmt: skip
    group.add_argument("--speculation", default="auto", metavar="auto|off|MODEL",
                       help="guess ids ahead, which changes the speed and never the text: auto guesses from the "
                       "text itself where that pays, a small model of the same family drafts as well "
                       "(default: auto)")  # fmt: skip
    group.add_argument("--no-packed", action="store_true",
                       help="neither use nor keep converted weights in .ponder/ beside the model")  # fmt: skip
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the CPUs this process may use)")


def add_chat_flags(parser: argparse.ArgumentParser) -> None:
    """For commands that talk in a terminal: what is kept of it, and what it goes on with."""
    group = parser.add_argument_group("earlier chats, of the page, too (`ponder logs` lists them)")
    group.add_argument("-c", "--continue", dest="go_on", action="store_true", help="go on with the last one")
    group.add_argument("--chat", metavar="ID", help="go on with this one: a number of the list, or its id")
    group.add_argument("--no-log", action="store_true", help="keep nothing of what is said")
    group.add_argument("--stats", action="store_true", help="a line with tokens a second after each answer")


def add_served_flags(parser: argparse.ArgumentParser) -> None:
    """For commands that take the URL of a server in place of a model."""
    group = parser.add_argument_group("a server instead of a model")
    group.add_argument("--served-model", metavar="NAME", help="the model's name there (default: the first it lists)")
    group.add_argument("--key-file", type=Path, metavar="FILE", help="a file with the key for it")
    group.add_argument("--in-flight", type=int, default=64, metavar="N", help="requests at a time (default: 64)")


def add_door_flags(group: "argparse._ArgumentGroup") -> None:
    """Who may come in besides those with a key, for commands that listen."""
    group.add_argument("--no-auth", action="store_true", help="let everybody in who can reach the address")
    group.add_argument("--allow-host", action="append", default=[], metavar="NAME",
                       help="another name we are called by")  # fmt: skip
    group.add_argument("--allow-origin", action="append", default=[], metavar="URL", help="web pages that may call us")


def add_generation_flags(parser: argparse.ArgumentParser) -> None:
    thinking = parser.add_argument_group("thinking")
    switch = thinking.add_mutually_exclusive_group()
    switch.add_argument("--think", action="store_true", default=None, help="think before the answer")
    switch.add_argument("--no-think", action="store_false", default=None, dest="think", help="answer at once")
    thinking.add_argument("--budget", type=int, metavar="N", help="think for at most N tokens, then answer")
    thinking.add_argument("--hide-thinking", action="store_true", help="do not show the thoughts")
    form = parser.add_argument_group("shape of the answer (never of the thoughts)").add_mutually_exclusive_group()
    form.add_argument("--json-schema", metavar="SCHEMA", help="JSON that fits it: a file, or the schema itself")
    form.add_argument("--json-object", action="store_true", help="any JSON object")
    form.add_argument("--regex", metavar="REGEX", help="text that matches as a whole")
    form.add_argument("--choice", metavar="TEXT", action="append", help="one of these texts; repeat the flag")
    sampling = parser.add_argument_group("sampling (defaults come from the model, per mode)")
    for name, (kind, text) in SAMPLING.items():
        metavar = "N" if kind is int else "X"
        sampling.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)
    sampling.add_argument("--stop", metavar="TEXT", action="append", default=[],
                          help="end the answer before this text; repeat the flag for more")  # fmt: skip


class GenerationOptions(NamedTuple):
    sampling: "SamplingParams"
    thinking: "Thinking"
    grammar: "Grammar | None"


def generation_options(args: argparse.Namespace) -> GenerationOptions:
    """What the generation flags ask for. Raises UserError for a value that no model could take."""
    from ponder.core.params import SamplingParams, Thinking

    sampling = SamplingParams(**{name: getattr(args, name) for name in SAMPLING}, stop=tuple(args.stop))
    return GenerationOptions(sampling, Thinking(enabled=args.think, budget=args.budget), _grammar(args))


def _grammar(args: argparse.Namespace) -> "Grammar | None":
    from ponder.core.params import Grammar

    if args.json_schema is not None:
        return Grammar("json_schema", _schema(args.json_schema))
    if args.json_object:
        return Grammar("json_object")
    if args.regex is not None:
        return Grammar("regex", args.regex)
    if args.choice:
        return Grammar("choice", json.dumps(args.choice, ensure_ascii=False))
    return None


def _schema(given: str) -> str:
    """The schema as JSON text: `given` itself when it begins like JSON, otherwise the file of that name."""
    inline = given.lstrip().startswith(("{", "true", "false"))
    try:
        text = given if inline else Path(given).read_text("utf-8")
        json.loads(text)
    except OSError as e:
        raise UserError(f"--json-schema: {given}: {e.strerror}", param="json-schema") from e
    except ValueError as e:
        raise UserError(f"--json-schema: {'it' if inline else given} is not JSON: {e}", param="json-schema") from e
    return text
