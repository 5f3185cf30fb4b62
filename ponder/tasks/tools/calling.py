"""Which tool, with which arguments: one call, several at once, none, or a question because something is missing."""

import json
import random
from dataclasses import dataclass
from typing import Any, Literal

from ponder.core.message import Message, ToolCall
from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.tools.calls import call, found, wanted
from ponder.tasks.tools.catalogue import OFFERS
from ponder.text.calls.tool_calls import tagged, tagged_calls

Kind = Literal["call", "parallel", "none", "ask"]
ASKING = "Which {missing} do you mean?"
SMALL_TALK = "What is {0} plus {1}?"


@dataclass(frozen=True)
class Calling(Task):
    """Level L offers L + 1 tools beside those that are needed."""

    name: str = "tool_call"
    kind: Kind = "call"
    levels: int = 4

    def draw(self, rng: random.Random, level: int) -> str:
        """JSON: the tools offered, the calls needed, what is missing or asked beside them."""
        needed = rng.sample(list(OFFERS), {"call": 1, "parallel": 2 + level // 2, "none": 0, "ask": 1}[self.kind])
        others = rng.sample([name for name in OFFERS if name not in needed], level + 1)
        offered = rng.sample([*needed, *others], len(needed) + len(others))
        calls = [[name, OFFERS[name].draw(rng)] for name in needed]
        beside = ""
        if self.kind == "none":
            beside = SMALL_TALK.format(rng.randrange(100), rng.randrange(100))
        elif self.kind == "ask":
            beside = rng.choice(list(OFFERS[needed[0]].parameters))
        return json.dumps([offered, calls, beside])

    def question(self, id_: str) -> str:
        _, calls, beside = json.loads(id_)
        if self.kind == "none":
            return str(beside)
        if self.kind == "ask":
            ((name, arguments),) = calls
            return OFFERS[name].asks.format(**{**arguments, beside: "___"}) + f" (I will tell you the {beside} later.)"
        return " ".join(OFFERS[name].asks.format(**arguments) for name, arguments in calls)

    def canonical(self, id_: str) -> str:
        """Whatever tools are offered beside it."""
        return self.question(id_)

    def tools(self, id_: str) -> tuple[dict[str, Any], ...]:
        return tuple(OFFERS[name].tool(name) for name in json.loads(id_)[0])

    def think(self, id_: str) -> str:
        offered, calls, beside = json.loads(id_)
        if self.kind == "none":
            return f"{', '.join(offered)}: none of them adds"
        if self.kind == "ask":
            return f"{calls[0][0]} needs {', '.join(OFFERS[calls[0][0]].parameters)}; {beside} is not said"
        return "\n".join(f"{name}: {json.dumps(arguments)}" for name, arguments in calls)

    def solve(self, id_: str) -> str:
        """The words, or the calls as a model writes them."""
        _, calls, beside = json.loads(id_)
        if self.kind == "ask":
            return ASKING.format(missing=beside)
        if self.kind == "none":
            words = beside.rstrip("?").split(" ")
            return str(int(words[2]) + int(words[4]))
        return "".join(tagged(call(name, arguments)) for name, arguments in calls).strip()

    def reply(self, problem: Problem, thought: str | None) -> Message:
        text, calls = tagged_calls(self.answer(problem))
        return Message.assistant(text, reasoning=thought, tool_calls=tuple(c for c in calls if c))

    def read(self, problem: Problem, text: str) -> str | None:
        return text.strip() or None

    def grade(self, problem: Problem, found_: str) -> Verdict:
        """No call is needed: any words, or a question back. Calls: exactly those."""
        calls, said = json.loads(problem.id)[1], found(found_)
        words, _ = tagged_calls(found_)
        if self.kind in ("none", "ask"):
            ok = said == "[]" and (self.kind == "none" or ("?" in words and json.loads(problem.id)[2] in words.lower()))
            return Verdict(reward=float(ok), ok=ok, parts={"calls": float(said != "[]")})
        key = wanted((name, arguments) for name, arguments in calls)
        names = said is not None and _names(said) == _names(key)
        ok = said == key
        return Verdict(
            reward=1.0 if ok else 0.25 * names, ok=ok, parts={"names": float(names), "calls": float(said != "[]")}
        )

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        offered, calls, _ = json.loads(problem.id)
        if not calls or self.kind == "ask":
            return tagged(call(offered[0], OFFERS[offered[0]].draw(rng))).strip()
        return "I cannot do that."

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        offered, calls, beside = json.loads(problem.id)
        right = self.answer(problem)
        other = next(name for name in offered if name not in dict(calls))
        stray = tagged(call(other, OFFERS[other].draw(rng)))
        strays = [tagged(call(name, OFFERS[name].draw(rng))) for name in offered * 3]
        if self.kind == "none":
            right_forms = [right, f"It is {right}.", "Is that a sum?", f"**{right}**", "I have no tool for that."]
            return right_forms * 2, [*strays, right + stray, "<tool_call>\n{}\n</tool_call>", "", "<tool_call>"]
        if self.kind == "ask":
            right_forms = [right, f"Please tell me the {beside}: what is it?", f"I need the {beside}. Which one?"]
            wrong = [right + stray, "Done.", "", "I will do it.", "What?", tagged(call(*calls[0]))]
            return right_forms * 3, [*strays, *wrong]
        made = [call(name, arguments) for name, arguments in calls]
        return _right_calls(made), [*_wrong_calls(made), stray, right + stray]

    def chance(self, level: int) -> float:
        return {"call": 0.0, "parallel": 0.0, "none": 1.0, "ask": 0.0}[self.kind]

    def size(self, level: int) -> str:
        return f"{level + 1} other tool{'s' if level else ''}"


def _names(calls: str) -> list[str]:
    return sorted(json.loads(one)[0] for one in json.loads(calls))


def _right_calls(made: list[ToolCall]) -> list[str]:
    text = "".join(map(tagged, made))
    loose = [ToolCall(c.name, json.dumps(json.loads(c.arguments), indent=1)) for c in made]
    shouted = [
        call(c.name, {k: v.upper() if isinstance(v, str) else float(v) for k, v in json.loads(c.arguments).items()})
        for c in made
    ]
    return [
        text,
        text.strip(),
        f"I will look.\n{text}",
        "".join(map(tagged, reversed(made))),
        "".join(map(tagged, loose)),
        text + "\n",
        "".join(map(tagged, shouted)),
        text.replace("\n<tool_call>", "<tool_call>"),
        text.replace("\n{", "{").replace("}\n", "}"),
    ]


def _wrong_calls(made: list[ToolCall]) -> list[str]:
    first, text = made[0], "".join(map(tagged, made))
    arguments = json.loads(first.arguments)
    key, value = next(iter(arguments.items()))
    other = value + 1 if isinstance(value, int) else value + " x"
    rest = "".join(map(tagged, made[1:]))
    changed = [
        {**arguments, key: other},
        {k: v for k, v in arguments.items() if k != key},
        {**arguments, "extra": 1},
        {**arguments, key: [value]},
        {"arguments": arguments},
    ]
    return [
        *(tagged(call(first.name, a)) + rest for a in changed),
        tagged(ToolCall(first.name + "s", first.arguments)) + rest,
        rest,
        "",
        first.arguments,
        "Done.",
        text.replace("}}", "}"),
        text.replace("tool_call", "call"),
        f"{text}{tagged(first)}",
        f"{first.name}({first.arguments})",
        "<tool_call>\nnothing\n</tool_call>" + text,
    ]
