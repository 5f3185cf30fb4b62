"""TOML files of typed sections, in which an unknown word is an error that shows the nearest one."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ponder.core.errors import UserError

S = TypeVar("S", bound=Struct)


def read_toml(path: Path) -> dict[str, Any]:
    """Raises UserError that names the file."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise UserError(f"{path}: {e.strerror}", param="recipe") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"{path} is no TOML: {e}", param="recipe") from e


def section(raw: Mapping[str, Any], cls: type[S], where: str) -> S:
    """The section as a struct; where: how a message names it."""
    fields = msgspec.structs.fields(cls)
    tag = cls.__struct_config__.tag_field
    check_names(raw, [*([tag] if tag else []), *(f.encode_name for f in fields)], where)
    missing = [f.encode_name for f in fields if f.required and f.encode_name not in raw]
    if missing:
        raise UserError(f"{where} has no {' and no '.join(missing)}", param=missing[0])
    try:
        return msgspec.convert(raw, cls)
    except (msgspec.ValidationError, UserError) as e:  # msgspec wraps what __post_init__ raises
        raise UserError(f"{where}: {e}", param="recipe") from e


def check_names(raw: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = list(known)
    for name in raw:
        if name not in known:
            raise UserError(f"{where}: {unknown('field', name, known)}", param=name)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"no {what} is called {name!r}; {hint}"
