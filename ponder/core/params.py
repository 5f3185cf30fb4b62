"""What a caller may ask for: sampling, thinking, grammar. `None` means "the model's default for the mode in force"."""

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
    """How the next id is sampled. None is the model's own default. Penalties, stop strings and logit bias act on the
    answer only (RS-5).

    >>> from ponder import LLM, SamplingParams
    >>> with LLM("ponder-mini") as llm:
    ...     reply = llm.chat("Hello", sampling=SamplingParams(temperature=0, max_tokens=3))
    >>> reply.finish.reason, reply.finish.usage.completion_tokens
    ('length', 3)
    """

    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    """The likeliest ids whose probabilities come to this are kept, 0 to 1."""
    top_k: int | None = None
    """So many of the likeliest ids are kept; 0 keeps all."""
    min_p: float | None = None
    """Ids are kept from this share of the likeliest one's probability on, 0 to 1."""
    presence_penalty: float | None = None
    """Subtracted from the logits of ids that are in the answer, -2 to 2."""
    frequency_penalty: float | None = None
    """Subtracted once for each time that an id is in the answer, -2 to 2."""
    repetition_penalty: float | None = None
    """Divides the logits of ids in prompt and answer (multiplies those below zero), above 0."""
    seed: int | None = None
    """The sample at position p of choice c depends on (seed, c, p) alone, never on the batch (DT-2)."""
    max_tokens: int | None = None
    """Ids generated after the prompt, thoughts and hand-over included; None is all that fits."""
    min_tokens: int = 0
    """Ids before which no end may come; where a grammar leaves nothing else, it comes all the same."""
    ignore_eos: bool = False
    """The model's own end never comes; where a grammar leaves nothing else, it comes all the same."""
    stop_token_ids: tuple[int, ...] = ()
    """Further ids that end the answer; they are no part of its text."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer, and are no part of it."""
    stop_in_reasoning: bool = False
    """`stop` holds for the thoughts, too."""
    logit_bias: dict[int, float] = field(default_factory=dict)
    """Added to the logits of these ids, -100 to 100."""
    logprobs: int | None = None
    """How many alternatives to report for each id; 0 reports only the chosen one, None none at all."""
    n: int = 1
    """Answers to the same prompt."""

    def __post_init__(self) -> None:
        _check_types(self)
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # nor is NaN
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
            if not (id_ >= 0 and abs(bias) <= 100):
                raise UserError(f"logit_bias[{id_}] must be within [-100, 100], got {bias}", param="logit_bias")

    def with_defaults(self, defaults: "SamplingParams") -> "SamplingParams":
        """A copy in which every None takes its value from `defaults`."""
        missing = {f: getattr(defaults, f) for f in self.__struct_fields__ if getattr(self, f) is None}
        return structs.replace(self, **missing)


class Thinking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thinking controls of one request; docs/thinking.md has what holds when.

    >>> from ponder import LLM, Thinking
    >>> with LLM("ponder-mini") as llm:
    ...     reply = llm.chat("What is 17 + 25?", thinking=Thinking(budget=8))
    >>> reply.finish.usage.reasoning_tokens - reply.finish.usage.handover_tokens <= 8
    True
    """

    enabled: bool | None = None
    """The hard switch; None lets the soft switches `/think`, `/no_think` decide, and is on without them."""
    budget: int | None = None
    """At most this many sampled ids inside the block, then the hand-over; None is no limit of its own."""
    loop_guard: bool = True
    """Endless repetition in the thoughts hands over, in the answer it stops (RL-2)."""
    handover: Literal["docs", "paper"] = "docs"
    """Which published form of the hand-over sentence: the documentation's, or the report's."""
    show_handover: bool = True
    """The sentence is part of the reported reasoning (TB-2)."""
    tool_in_thinking: Literal["text", "close"] | None = None
    """What tool calls are that the thoughts end with, where the model stops without `</think>`: "close" (and None)
    makes calls of them, "text" leaves them thoughts, and the hand-over follows (TC-3)."""
    preference: str = ""
    """The field that asked for thinking by an effort word or the like: a model that cannot do it does what it can, with
    a warning. "" is a switch or a budget that must hold."""

    def __post_init__(self) -> None:
        _check_types(self)
        if self.budget is not None and self.budget < 0:
            raise UserError(
                f"the thinking budget must be 0 or more tokens, got {self.budget}; leave it out for no limit",
                param="thinking_budget",
            )


class Grammar(Struct, frozen=True, forbid_unknown_fields=True):
    """A constraint on the answer (never on the thoughts).

    >>> from ponder import LLM, Grammar
    >>> with LLM("ponder-mini") as llm:
    ...     llm.chat("Is the sky blue?", grammar=Grammar("choice", '["yes", "no"]')).text in ("yes", "no")
    True
    """

    kind: Literal["json_schema", "json_object", "regex", "choice", "lark", "gbnf"]
    """"json_object" is any object; "lark" llguidance's notation; "gbnf" llama.cpp's, which others call EBNF, or
    Lark."""
    value: str = ""
    """The schema as JSON text; the expression that the whole answer matches; a JSON list of strings; the grammar. Empty
    for "json_object"."""
    strict: bool = True
    """What a schema asks for and cannot be enforced is an error; else it is left out, with a warning (SO-3)."""

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
