"""An answer as a value of a type: a dataclass, a TypedDict, a msgspec Struct or a pydantic model.

form = output_form(Recipe)
form.schema  # the JSON schema that the answer keeps
form.read('{"name": "soup", "minutes": 20}')  # Recipe(name="soup", minutes=20)
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_type_hints, is_typeddict

import msgspec

from ponder.core.errors import UserError

Value = TypeVar("Value")


@dataclass(frozen=True)
class OutputForm(Generic[Value]):
    schema: dict[str, Any]
    """JSON schema of the answer."""
    read: Callable[[str], Value]
    """JSON -> the value. Raises ValueError for what is none."""

    def value(self, text: str, ended: str) -> Value:
        """The answer as the value. Raises UserError where it is none. ended: how it did, in words."""
        try:
            return self.read(text)
        except ValueError as e:
            raise UserError(f"the answer is not the JSON that was asked for, {ended} ({e})", param="output") from e


def output_form(output: type[Any]) -> OutputForm[Any]:
    """Raises UserError for a type that JSON cannot express."""
    pydantic = sys.modules.get("pydantic")  # whoever made a model of it has imported it
    if pydantic is not None and isinstance(output, type) and issubclass(output, pydantic.BaseModel):
        return OutputForm(output.model_json_schema(), output.model_validate_json)
    try:
        schema, read = (
            _as_declared(msgspec.json.schema(output), output),
            msgspec.json.Decoder(output, strict=False).decode,
        )
    except TypeError as e:
        text = f"output is a dataclass, a TypedDict, a pydantic model or another type that JSON can express: {e}"
        raise UserError(text, param="output") from e
    return OutputForm(schema, read)


def _as_declared(schema: dict[str, Any], output: Any) -> dict[str, Any]:
    """The schema of the type itself at the top, where msgspec refers to it, and the keys of a TypedDict in the order of
    its class, where msgspec sorts them: a model writes them in this order."""
    definitions = schema.get("$defs", {})
    for typed_dict in _typed_dicts(output, set()):
        definition = definitions[typed_dict.__name__]
        definition["properties"] = {key: definition["properties"][key] for key in get_type_hints(typed_dict)}
    if "$ref" not in schema:
        return schema
    return {**definitions[schema["$ref"].removeprefix("#/$defs/")], "$defs": definitions}


def _typed_dicts(type_: Any, seen: set[int]) -> Iterator[Any]:
    """Every TypedDict in a type and its parts."""
    if id(type_) in seen:
        return
    seen.add(id(type_))
    if is_typeddict(type_):
        yield type_
    if isinstance(type_, type):
        for part in get_type_hints(type_).values():
            yield from _typed_dicts(part, seen)
    for part in get_args(type_):
        yield from _typed_dicts(part, seen)
