"""A typed function is a tool: its schema, its conversions, its mistakes."""

import datetime
import enum
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from ponder.agent.tools.function_tool import function_tool
from ponder.agent.tools.tool import Output, ToolContext
from ponder.core.errors import UserError

pytestmark = pytest.mark.anyio
PLACE = ToolContext("c", Path())


class Color(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: float
    y: float = 0.0


def everything(
    city: str,
    when: datetime.date,
    unit: Literal["C", "F"] = "C",
    *,
    days: Annotated[int, msgspec.Meta(ge=1, le=9)] = 3,
    color: Color | None = None,
    points: list[Point] = [],  # noqa: B006
) -> dict:
    """Tell the weather.

    More words that the model does not need.

    city: name of the city,
      in English
    when (date): the day
    :param unit: Celsius or Fahrenheit
    """
    return {"city": city, "when": when, "unit": unit, "days": days, "color": color, "points": points}


def test_the_schema() -> None:
    tool = function_tool(everything)
    p = tool.parameters["properties"]
    assert tool.name == "everything" and tool.description == "Tell the weather."
    assert tool.parameters["required"] == ["city", "when"]
    assert p["city"] == {"type": "string", "description": "name of the city, in English"}
    assert p["when"] == {"type": "string", "format": "date", "description": "the day"}
    assert p["unit"] == {"enum": ["C", "F"], "description": "Celsius or Fahrenheit", "default": "C"}
    assert p["days"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    assert p["points"]["items"] == {"$ref": "#/$defs/Point"} and "Point" in tool.parameters["$defs"]
    assert tool.schema()["function"]["parameters"] is tool.parameters


async def test_arguments_become_what_the_function_wants() -> None:
    given = {"city": "Köln", "when": "2026-02-03", "days": "4", "color": "red", "points": [{"x": 1}]}
    output = await function_tool(everything).call(given, PLACE)
    assert output.text == (
        '{"city": "Köln", "when": "2026-02-03", "unit": "C", "days": 4, "color": "red", '
        '"points": [{"x": 1.0, "y": 0.0}]}'
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [({"city": "x", "when": "soon"}, "argument when"),
     ({"city": "x", "when": "2026-02-03", "days": 10}, "argument days"),
     ({"city": "x", "when": "2026-02-03", "unit": "K"}, "argument unit"), ({"place": "x"}, "no parameter 'place'")],
)  # fmt: skip
async def test_wrong_arguments(given: dict, why: str) -> None:
    with pytest.raises(UserError, match=why):
        await function_tool(everything).call(given, PLACE)


async def test_async_functions_and_the_place() -> None:
    async def where(context: ToolContext, n: int = 1) -> str:
        """Where."""
        return f"{context.conversation} {n}"

    tool = function_tool(where)
    assert list(tool.parameters["properties"]) == ["n"]
    assert (await tool.call({}, PLACE)).text == "c 1"


async def test_outputs_pass_through() -> None:
    def both() -> Output:
        """Both."""
        return Output("x", structured={"a": 1})

    assert (await function_tool(both).call({}, PLACE)).structured == {"a": 1}


def test_functions_that_cannot_be_tools() -> None:
    def silent(a: int) -> int:
        return a

    def untyped(a):
        """Doc."""

    def many(*a: int) -> None:
        """Doc."""

    for function, why in ((silent, "docstring"), (untyped, "needs a type"), (many, "no name")):
        with pytest.raises(UserError, match=why):
            function_tool(function)
    with pytest.raises(UserError, match="no name for a tool"):
        function_tool(lambda: 1, description="x")
