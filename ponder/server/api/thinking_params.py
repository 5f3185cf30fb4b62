"""The many spellings of "think", and of "think so much", as one `Thinking` (TH-1, TH-2).

Every dialect understands every spelling, because programs between a client and us translate bodies and leave such
fields as they were. They are collected as (field, value) pairs and compared: two that disagree are an error that names
both.

Effort words, and Anthropic's `thinking`, are wishes: agents send them to every model, whatever it can. A model that
cannot think answers them with a warning (TH-4). The other fields are switches, and must hold.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field, structs

from ponder.core.errors import UserError
from ponder.core.params import Thinking

# tokens that an effort word stands for; 0 is off, None is no limit
EFFORTS: dict[str, int | None] = {
    "none": 0, "minimal": 0, "low": 1024, "medium": 4096, "high": 16384, "xhigh": None, "max": None, "ultra": None,
}  # fmt: skip
UNSAID = ("", "default")  # words that clients send where nobody chose one
# how firmly it was asked for: by an effort word, by Anthropic's object (whose numbers are exact), or by a switch
Strength = Literal["word", "object", "firm"]


class Switch(NamedTuple):
    field: str
    on: bool
    strength: Strength = "firm"


class Budget(NamedTuple):
    field: str
    tokens: int
    strength: Strength = "firm"


# vLLM's and SGLang's {"enable_thinking": false}
TEMPLATE: tuple[dict[str, type], str] = (
    {"enable_thinking": bool, "thinking": bool, "thinking_budget": int},
    "this template takes enable_thinking (true or false) and thinking_budget",
)
# OpenAI's {"effort": "low"}, and OpenRouter's {"max_tokens": N}, {"enabled": true}
REASONING: tuple[dict[str, type], str] = (
    {"effort": str, "enabled": bool, "max_tokens": int},
    "reasoning takes effort (a word), max_tokens (a number) and enabled (true or false)",
)
SUMMARIES = ("summary", "generate_summary")  # of OpenAI's `reasoning`: what to show of the thoughts; we show them all


class ThinkingBody(Struct, frozen=True, kw_only=True):
    """The fields of a body that are about thinking, whatever its dialect."""

    enable_thinking: bool | None = None
    think: bool | str | None = None
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    reasoning_effort: str | None = None
    reasoning: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    thinking_budget: int | None = None
    thinking_token_budget: int | None = None
    thinking_budget_tokens: int | None = None
    tool_in_thinking: Literal["text", "close"] | None = None
    show_handover: bool | None = None


def thinking_of(body: ThinkingBody, word: tuple[str, Any] | None = None) -> Thinking:
    """All that a body asks for. word: an effort that its dialect has in a place of its own, as (field, word). Raises
    UserError for what cannot be, or contradicts itself."""
    switches, budgets = switches_and_budgets(body)
    if word is not None:
        effort: list[Switch] = []
        add_effort(*word, effort, budgets)
        if not any(switch.strength == "object" for switch in switches):  # whose type decides, and the word how much
            switches += effort
    return structs.replace(
        resolve(switches, budgets),
        tool_in_thinking=body.tool_in_thinking,
        show_handover=body.show_handover is not False,
    )


def switches_and_budgets(body: ThinkingBody) -> tuple[list[Switch], list[Budget]]:
    """Everything the body says about how much to think. Raises UserError naming the field that cannot be."""
    switches: list[Switch] = []
    budgets: list[Budget] = []
    if body.enable_thinking is not None:
        switches.append(Switch("enable_thinking", body.enable_thinking))
    if isinstance(body.think, str):
        add_effort("think", body.think, switches, budgets)
    elif body.think is not None:
        switches.append(Switch("think", body.think))
    for name in ("thinking_budget", "thinking_token_budget", "thinking_budget_tokens"):
        if (value := getattr(body, name)) is not None and value != -1:  # -1 is "no limit" elsewhere
            budgets.append(Budget(name, value))
    _add_object("chat_template_kwargs", body.chat_template_kwargs, *TEMPLATE, switches, budgets)
    if body.reasoning_effort is not None:
        add_effort("reasoning_effort", body.reasoning_effort, switches, budgets)
    reasoning = {k: v for k, v in (body.reasoning or {}).items() if v is not None and k not in SUMMARIES}
    _add_object("reasoning", reasoning, *REASONING, switches, budgets)
    if body.thinking is not None:
        _add_thinking_object(body.thinking, switches, budgets)
    return switches, budgets


def add_effort(name: str, word: Any, switches: list[Switch], budgets: list[Budget]) -> None:
    """The words "none" and "minimal" are off. Raises UserError."""
    if word in UNSAID:
        return
    if not isinstance(word, str) or word not in EFFORTS:
        raise UserError(f"{name} must be one of {', '.join(EFFORTS)}, got {word!r}", param=name)
    budget = EFFORTS[word]
    switches.append(Switch(name, budget != 0, "word"))
    if budget:
        budgets.append(Budget(name, budget, "word"))


def _add_object(
    where: str, raw: dict[str, Any], types: dict[str, type], known: str, switches: list[Switch], budgets: list[Budget]
) -> None:
    """types: of the keys that may be there: a switch, a budget, or the word of an effort. known: the same in words."""
    for key, value in raw.items():
        name, wanted = f"{where}.{key}", types.get(key)
        if wanted is str:
            add_effort(name, value, switches, budgets)
        elif wanted is bool and isinstance(value, bool):
            switches.append(Switch(name, value))
        elif wanted is int and type(value) is int:
            budgets.append(Budget(name, value))
        else:
            raise UserError(f"{name}: {known}", param=name)


def _add_thinking_object(raw: dict[str, Any], switches: list[Switch], budgets: list[Budget]) -> None:
    """Anthropic's {"type": "enabled" | "disabled" | "adaptive", "budget_tokens": N}."""
    kind = raw.get("type")
    if unknown := sorted(set(raw) - {"type", "budget_tokens", "display"}):
        name = f"thinking.{unknown[0]}"
        raise UserError(f"{name}: thinking takes type and budget_tokens", param=name)
    if kind not in ("enabled", "disabled", "adaptive", "auto"):
        raise UserError("thinking.type is enabled, disabled or adaptive", param="thinking.type")
    if kind in ("enabled", "disabled"):
        switches.append(Switch("thinking.type", kind == "enabled", "object"))
    budget = raw.get("budget_tokens")
    if budget is not None:
        if type(budget) is not int:
            raise UserError("thinking.budget_tokens is a number of tokens", param="thinking.budget_tokens")
        budgets.append(Budget("thinking.budget_tokens", budget, "object"))


def resolve(switches: Iterable[Switch], budgets: Iterable[Budget]) -> Thinking:
    """All that a request says about thinking. An explicit budget beats the one that an effort word stands for.

    Raises UserError when two fields contradict each other.
    """
    switches, budgets = list(switches), list(budgets)
    for switch in switches[1:]:
        if switch.on != switches[0].on:
            text = f"{switches[0].field} and {switch.field} contradict each other: one thinks, the other does not"
            raise UserError(text, param=switch.field)
    exact = [b for b in budgets if b.strength != "word"]
    for budget in exact[1:]:
        if budget.tokens != exact[0].tokens:
            text = f"{exact[0].field} is {exact[0].tokens} and {budget.field} is {budget.tokens}: give one of them"
            raise UserError(text, param=budget.field)
    chosen = exact or budgets
    enabled = switches[0].on if switches else None
    if exact and enabled is False and exact[0].tokens > 0:
        raise UserError(
            f"{switches[0].field} switches thinking off and {exact[0].field} gives it {exact[0].tokens} tokens: drop "
            "one of them",
            param=exact[0].field,
        )
    everything: list[Switch | Budget] = [*switches, *budgets]
    preference = everything[0].field if everything and all(each.strength != "firm" for each in everything) else ""
    return Thinking(
        enabled=enabled, budget=chosen[0].tokens if chosen and enabled is not False else None, preference=preference
    )
