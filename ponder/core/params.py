"""What a caller may ask for: sampling, thinking, grammar. `None` means "the model's default for the mode in force"."""

import math
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec import Struct, field, structs

from ponder.core.errors import UserError

# what a model can: hybrid thinks or not as asked, thinking always does, instruct and base never do
Capability = Literal["hybrid", "thinking", "instruct", "base"]

# what each number may be, both ends included; the server's description of its API reads this too
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "top_k": (0, 1 << 31),
    "min_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repetition_penalty": (1e-3, 1e3),
    "seed": (-(1 << 63), (1 << 64) - 1),
    "max_tokens": (1, 1 << 31),
    "min_tokens": (0, 1 << 31),
    "logprobs": (0, 20),
    "n": (1, 128),
}

LONGEST_STOP = 4096  # characters


class SamplingParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the next id is sampled. Penalties, stop strings and logit bias act on the answer only (RS-5).

    temperature: 0 is greedy. top_k: 0 keeps all. top_p, min_p: probabilities in [0, 1].
    presence_penalty, frequency_penalty: subtracted from the logits of ids already in the answer, [-2, 2].
    repetition_penalty: divides (or multiplies, below zero) the logits of ids in prompt and answer, > 0.
    seed: the sample at position p of choice c depends on (seed, c, p) alone, never on the batch (DT-2).
    max_tokens: ids generated after the prompt, thoughts and hand-over included; None is "all that fits".
    min_tokens: ids before which no end may come. ignore_eos: the model's own end never comes. Where a grammar leaves
    nothing else, the end comes all the same.
    stop_token_ids: further ids that end the answer; they are no part of its text.
    logprobs: how many alternatives to report per id (0 reports only the chosen one), None for none.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()
    stop_in_reasoning: bool = False
    logit_bias: dict[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    n: int = 1

    def __post_init__(self) -> None:
        _check_types(self)
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"{name} must be between {low} and {high}, got {value}", param=name)
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            text = f"min_tokens is {self.min_tokens} and max_tokens {self.max_tokens}: no reply has both"
            raise UserError(text, param="min_tokens")
        if len(self.stop_token_ids) > 64:
            raise UserError("stop_token_ids takes at most 64 ids", param="stop_token_ids")
        if len(self.stop) > 16 or "" in self.stop:
            raise UserError("stop takes at most 16 strings, none of them empty", param="stop")
        if (longest := max(map(len, self.stop), default=0)) > LONGEST_STOP:
            text = f"stop: a string of {longest} characters, {LONGEST_STOP} are the limit"
            raise UserError(text, param="stop")
        for id_, bias in self.logit_bias.items():
            if not (id_ >= 0 and math.isfinite(bias) and abs(bias) <= 100):
                raise UserError(f"logit_bias[{id_}] must be within [-100, 100], got {bias}", param="logit_bias")

    def with_defaults(self, defaults: "SamplingParams") -> "SamplingParams":
        """A copy in which every None takes its value from `defaults`."""
        missing = {f: getattr(defaults, f) for f in self.__struct_fields__ if getattr(self, f) is None}
        return structs.replace(self, **missing)


class Thinking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thinking controls of one request; docs/thinking.md has what holds when.

    enabled: True / False is the hard switch; None lets the soft switches `/think`, `/no_think` decide, default on.
    budget: at most this many sampled ids inside the block, then the hand-over; None is no limit of its own. loop_guard:
    endless repetition in the thoughts hands over, in the answer it stops (RL-2). handover: which published form of the
    hand-over sentence; "docs" is the documentation's, "paper" the report's. show_handover: whether the sentence is part
    of the reported reasoning (TB-2). tool_in_thinking: what tool calls are that the thoughts end with, where the model
    stops without `</think>`: "close" (and None) makes calls of them, "text" leaves them thoughts, and the hand-over
    follows (TC-3). preference: the field that said so, when it was an effort word or the like: a model that cannot do
    it does what it can, with a warning. "" is a switch or a budget that must hold.
    """

    enabled: bool | None = None
    budget: int | None = None
    loop_guard: bool = True
    handover: Literal["docs", "paper"] = "docs"
    show_handover: bool = True
    tool_in_thinking: Literal["text", "close"] | None = None
    preference: str = ""

    def __post_init__(self) -> None:
        _check_types(self)
        if self.budget is not None and self.budget < 0:
            raise UserError(
                f"the thinking budget must be 0 or more tokens, got {self.budget}; leave it out for no limit",
                param="thinking_budget",
            )


class Grammar(Struct, frozen=True, forbid_unknown_fields=True):
    """A constraint on the answer (never on the thoughts).

    kind "json_schema": value is the schema as JSON text; "json_object": any object, no value;
    "regex": the whole answer matches value; "choice": value is a JSON list of strings; "lark": llguidance's Lark;
    "gbnf": llama.cpp's notation, which others call EBNF, or Lark.
    strict, of a schema: what cannot be enforced is an error; else it is left out, with a warning (SO-3).
    """

    kind: Literal["json_schema", "json_object", "regex", "choice", "lark", "gbnf"]
    value: str = ""
    strict: bool = True

    def __post_init__(self) -> None:
        _check_types(self)
        if self.kind == "json_object" and self.value:
            raise UserError("json_object takes no value; for a schema use json_schema", param="value")


def _check_types(params: Struct) -> None:
    """msgspec checks what it reads from JSON, not what Python code writes: there a wrong type is found here."""
    for name, type_ in _field_types(type(params)):
        try:
            msgspec.convert(getattr(params, name), type_)
        except msgspec.ValidationError as e:
            raise UserError(f"{name}: {e}", param=name) from e


@cache
def _field_types(type_: type[Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, f.type) for f in structs.fields(type_))


# The model card's values. A model folder's generation_config.json overrides the thinking row.
# the numbers that shape the distribution, and those that leave it as the model made it
SHAPING = (
    "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
)  # fmt: skip
UNSHAPED = SamplingParams(
    temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0
)
THINKING_DEFAULTS = SamplingParams(temperature=0.6, top_p=0.95, top_k=20, min_p=0.0)
ANSWER_DEFAULTS = SamplingParams(temperature=0.7, top_p=0.8, top_k=20, min_p=0.0)
