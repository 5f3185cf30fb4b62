"""A typed function with a docstring, as a model sees it: its signature gives the schema, its docstring the words.

    def add(a: float, b: float = 1) -> float:
        '''Add two numbers.

        a: the first one.
        '''
        return a + b

    Function.of(add).parameters["properties"]["a"]  # {"type": "number", "description": "the first one."}

Arguments are converted to the annotated types, so a function gets a `date` where it asks for one.
"""

import inspect
import json
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ponder.core.errors import UserError

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Function:
    run: Callable[..., Any]
    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments, an object."""
    types: dict[str, Any]
    """Annotated types by parameter."""
    hidden: str = ""
    """The parameter that the model does not see; "" where there is none."""

    @classmethod
    def of(
        cls, function: Callable[..., Any], *, name: str | None = None, description: str | None = None,
        hide: type | None = None,
    ) -> "Function":  # fmt: skip
        """hide: a parameter of this type is not the model's to give. Raises UserError for a function that cannot be
        called by a model: no docstring, a parameter without a type, `*args`."""
        name = name or function.__name__
        words = description or inspect.getdoc(function) or ""
        if not NAME.fullmatch(name):
            raise UserError(f"{name!r} is no name for a tool: letters, digits, _ and -, at most 64", param="tools")
        if not words:
            raise UserError(f"tool {name} needs a docstring: the model chooses by it", param="tools")
        types, hidden, parameters = _read_signature(function, name, hide)
        return cls(function, name, words.split("\n\n")[0].replace("\n", " "), parameters, types, hidden)

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the model gave, as the types that the function wants. Raises UserError that says what does not fit."""
        for name in given:
            if name not in self.types:
                known = ", ".join(self.types) or "none"
                raise UserError(f"{self.name} has no parameter {name!r}; it has {known}")
        return {name: _converted(self.name, name, value, self.types[name]) for name, value in given.items()}


def result_text(result: Any) -> str:
    """What a function gave, for the model to read: a text as it is, anything else as JSON."""
    if isinstance(result, str):
        return result
    try:
        return json.dumps(msgspec.to_builtins(result), ensure_ascii=False)
    except (TypeError, ValueError):
        return str(result)


def _read_signature(
    function: Callable[..., Any], name: str, hide: type | None
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(types by parameter, the parameter that is hidden or "", JSON schema)."""
    hints = typing.get_type_hints(function, include_extras=True)
    types: dict[str, Any] = {}
    hidden, required = "", []
    defaults: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UserError(f"tool {name}: {parameter} has no name a model could use", param="tools")
        if parameter.name not in hints:
            raise UserError(f"tool {name}: parameter {parameter.name} needs a type", param="tools")
        if hide is not None and hints[parameter.name] is hide:
            hidden = parameter.name
            continue
        types[parameter.name] = hints[parameter.name]
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif parameter.default is not None:
            defaults[parameter.name] = msgspec.to_builtins(parameter.default)
    try:
        schemas, components = msgspec.json.schema_components(types.values(), ref_template="#/$defs/{name}")
    except TypeError as e:
        raise UserError(f"tool {name}: {e}", param="tools") from e
    words = _parameter_words(inspect.getdoc(function) or "", types)
    properties = {}
    for parameter_name, schema in zip(types, schemas, strict=True):
        extra = {"description": words[parameter_name]} if parameter_name in words else {}
        extra |= {"default": defaults[parameter_name]} if parameter_name in defaults else {}
        properties[parameter_name] = {**schema, **extra}
    parameters = {"type": "object", "properties": properties, "required": required}
    return types, hidden, parameters | ({"$defs": components} if components else {})


def _parameter_words(doc: str, types: dict[str, Any]) -> dict[str, str]:
    """What the docstring says of each parameter: `name: words`, also with a type in brackets, or `:param name: words`.
    Lines that are indented deeper go on."""
    found: dict[str, str] = {}
    current = ""
    for line in doc.splitlines():
        match = re.match(r"\s*(?::param\s+)?(\w+)\s*(?:\([^)]*\))?\s*:\s+(\S.*)", line)
        if match and match[1] in types:
            current = match[1]
            found[current] = match[2].strip()
        elif current and line.startswith("  ") and line.strip():
            found[current] += " " + line.strip()
        else:
            current = ""
    return found


def _converted(tool: str, name: str, value: Any, type_: Any) -> Any:
    try:
        return msgspec.convert(value, type_, strict=False)
    except msgspec.ValidationError as e:
        raise UserError(f"{tool}, argument {name}: {e}") from e
