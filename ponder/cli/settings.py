"""Flags from a file and from the environment, for a command that runs as a service.

    ponder serve --config serve.toml            # queue = 16, allow-host = ["models.example"], [model."qwen3:4b"] ...
    PONDER_SERVE_QUEUE=16 ponder serve

The command line holds before the environment, that before the file. A flag that may be repeated is a list, and what the
command line says is added to it.
"""

import argparse
import difflib
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ponder.core.errors import UserError

OF_A_MODEL = ("dtype", "max_context", "kv_dtype", "speculation", "no_packed")
NO = ("0", "false", "no", "off", "")
SECRET = ("api_key",)
NUMBER = {int: "a whole number", float: "a number"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where settings come from")
    group.add_argument("--config", metavar="FILE", help="TOML with these flags, without the dashes in front")
    group.add_argument("--print-config", action="store_true", help="print the settings in force and where each is from")
    parser.set_defaults(model_settings={}, sources={})


def apply(parser: argparse.ArgumentParser, argv: list[str], environment: Mapping[str, str], prefix: str) -> None:
    """Make what file and environment say the defaults of the parser. prefix: PONDER_SERVE_. Raises UserError with the
    place of what does not fit."""
    actions = settings_of(parser)
    values: dict[str, Any] = {"model_settings": {}}
    sources: dict[str, str] = {}
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", default=environment.get(f"{prefix}CONFIG"))
    if file := finder.parse_known_args(argv)[0].config:
        found = read(Path(file))
        values["model_settings"] = of_models(found.pop("model", {}), actions, file)
        for key, value in found.items():
            action = known(key, actions, f"{file}: {key}")
            values[action.dest], sources[action.dest] = converted(action, value, f"{file}: {key}"), file
    for name, text in environment.items():
        if name.startswith(prefix) and name != f"{prefix}CONFIG":
            action = known(name.removeprefix(prefix).lower(), actions, name)
            values[action.dest], sources[action.dest] = converted(action, from_text(action, text), name), name
    parser.set_defaults(sources=sources, shown=partial(shown, parser), **values)


def settings_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """By the name of the flag, with _ for -; and the models, which stand without one."""
    named = {option.lstrip("-"): a for a in parser._actions for option in a.option_strings or ("models",)}
    return {
        name.replace("-", "_"): a for name, a in named.items() if name not in ("h", "help", "config", "print-config")
    }


def of_models(tables: Any, actions: Mapping[str, argparse.Action], file: str) -> dict[str, dict[str, Any]]:
    """[model."qwen3:4b"]: what holds for one model instead of the flags."""
    own = {name: actions[name] for name in OF_A_MODEL}
    out: dict[str, dict[str, Any]] = {}
    for model, settings in tables.items():
        out[model] = {}
        for key, value in settings.items():
            place = f"{file}: [model.{toml(model)}] {key}"
            action = known(key, own, place)
            out[model][action.dest] = converted(action, value, place)
    return out


def read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: this is no TOML: {e}", param="config") from e


def known(name: str, actions: Mapping[str, argparse.Action], place: str) -> argparse.Action:
    name = name.replace("-", "_")
    if name in actions:
        return actions[name]
    close = difflib.get_close_matches(name, actions, 1)
    hint = f"did you mean {close[0].replace('_', '-')}?" if close else "`--help` lists what there is"
    raise UserError(f"{place}: there is no such setting; {hint}", param="config")


def from_text(action: argparse.Action, text: str) -> Any:
    """What a variable of the environment says: a list is separated by commas."""
    if takes_list(action):
        return [part.strip() for part in text.split(",") if part.strip()]
    if action.nargs == 0:
        return text.lower() not in NO
    return text


def converted(action: argparse.Action, value: Any, place: str) -> Any:
    """As the flag would have it. Raises UserError."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UserError(f"{place} is true or false, got {value!r}", param="config")
        return action.const if value else not action.const
    type_: Any = action.type or str
    if takes_list(action):
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise UserError(f"{place} is a list of texts, got {value!r}", param="config")
        return [type_(each) for each in value] or action.default  # argparse wants no empty list of models
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int | float)
        or (type_ is int and isinstance(value, float))
    ):
        raise UserError(f"{place} does not fit: {value!r}", param="config")
    try:
        made = type_(value)
    except ValueError as e:
        raise UserError(f"{place} is {NUMBER[type_]}, got {value!r}", param="config") from e
    if action.choices is not None and made not in action.choices:
        raise UserError(f"{place} is one of {', '.join(map(str, action.choices))}, got {value!r}", param="config")
    return made


def takes_list(action: argparse.Action) -> bool:
    return isinstance(action.default, list) or action.nargs == "*"


def shown(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """The settings in force as TOML that --config reads, each with where it is from. Keys are not shown."""
    lines = []
    for name, action in settings_of(parser).items():
        value, source = vars(args)[action.dest], args.sources.get(action.dest, "default")
        if value not in (parser.get_default(action.dest), []):
            source = "command line"
        if action.nargs == 0 and value is not None:
            value = value == action.const
        hidden = action.dest in SECRET and value
        line = f"{name.replace('_', '-')} = {toml('***' if hidden else value)}"
        lines.append(f"{'# ' if hidden or value is None else ''}{line} # {source}")
    for model, settings in args.model_settings.items():
        lines += ["", f"[model.{toml(model)}]", *(f"{k.replace('_', '-')} = {toml(v)}" for k, v in settings.items())]
    return "\n".join(lines) + "\n"


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if value is None:
        return '""'
    if isinstance(value, int | float):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
