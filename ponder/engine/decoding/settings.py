"""From what was asked to what will hold: one place that resolves switches, defaults, ceilings and limits.

Two steps, because rendering lies between them: `choose_mode` decides on thinking before the prompt is rendered,
`resolve` decides the rest once the number of prompt ids is known. Nothing is silently ignored: what cannot hold is
refused with a UserError, what holds differently than written adds a warning (TH-4, TH-5, RL-1).
"""

import secrets
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from ponder.core.errors import ContextLengthExceeded, UserError
from ponder.core.event import ResolvedSettings
from ponder.core.message import Message
from ponder.core.params import ANSWER_DEFAULTS, THINKING_DEFAULTS, Capability, SamplingParams, Thinking
from ponder.text.chat.soft_switch import soft_switch
from ponder.text.chat.template import TemplateTrust

ModeSource = Literal["request", "soft switch", "default", "model"]

_NO_PENALTY = SamplingParams(presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0)


class ModelProfile(Struct, frozen=True, kw_only=True):
    """What the rules need to know about a model; the engine fills it when the model is loaded (TH-4).

    capability: "hybrid" thinks or not as asked, "thinking" always does, "instruct" and "base" never do.
    untagged_calls: it may write calls without their tags, as models do that know no thoughts (Qwen2.5 and its Coder).
    template_trust: whether it is asked by its own template (see `text.template`).
    context: most ids a sequence may have, prompt included. vocab: ids the tokenizer knows; rows above are padding.
    thinking_defaults, answer_defaults: the model's own sampling values per mode (RL-1).
    """

    name: str
    capability: Capability
    eos_ids: tuple[int, ...]
    context: int
    vocab: int
    untagged_calls: bool = False
    template_trust: TemplateTrust = "known"
    thinking_defaults: SamplingParams = THINKING_DEFAULTS
    answer_defaults: SamplingParams = ANSWER_DEFAULTS


class Ceiling(Struct, frozen=True, kw_only=True):
    """The server's upper limits; a request may ask for less (TB-6). None is no limit."""

    budget: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 0:
            raise UserError(f"the ceiling of the budget must be 0 or more, got {self.budget}", param="max_budget")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UserError(f"the ceiling of max_tokens must be 1 or more, got {self.max_tokens}", param="max_tokens")


class Mode(Struct, frozen=True):
    """Whether the model is meant to think. prefill_empty: the hard switch off, the renderer's enable_thinking=False.
    truncated_tokens: what was left out of the prompt for which it was chosen."""

    thinking: bool
    source: ModeSource
    prefill_empty: bool
    warnings: tuple[str, ...] = ()
    truncated_tokens: int = 0


class RequestSettings(Struct, frozen=True):
    """Everything that holds for one request. `sampling` has no None left but `logprobs`; what `effective` says
    (budget, max_tokens, seed) wins. can_think: the model may open a block."""

    effective: ResolvedSettings
    sampling: SamplingParams
    thinking: Thinking
    eos_ids: tuple[int, ...]
    vocab: int
    can_think: bool
    warnings: tuple[str, ...] = ()


def choose_mode(thinking: Thinking, messages: Sequence[Message], profile: ModelProfile) -> Mode:
    """Hard switch, then soft switch, then on; a model that cannot switch refuses to be asked, but answers a preference
    with a warning.

    Raises UserError when the request asks for a mode the model does not have.
    """
    if profile.capability != "hybrid":
        return _fixed_mode(thinking, messages, profile)
    soft = soft_switch(messages)
    if thinking.enabled is None:
        return Mode(True, "default", False) if soft is None else Mode(soft, "soft switch", False)
    warnings: tuple[str, ...] = ()
    if thinking.enabled and soft is False:
        warnings = (
            "enable_thinking=True beats the /no_think in the text, but the model reads that text too and may "
            "leave its thoughts empty",
        )
    return Mode(thinking.enabled, "request", not thinking.enabled, warnings)


def _fixed_mode(thinking: Thinking, messages: Sequence[Message], profile: ModelProfile) -> Mode:
    thinks = profile.capability == "thinking"
    if thinks and thinking.enabled is False and not thinking.preference:
        raise UserError(
            f"{profile.name} always thinks: thinking_not_switchable. Use a hybrid model such as qwen3:4b, "
            "or a small thinking budget",
            param="enable_thinking",
            code="thinking_not_switchable",
        )
    if not thinks and (thinking.enabled or thinking.budget is not None) and not thinking.preference:
        raise UserError(
            f"{profile.name} is a model without thinking ({profile.capability}). Use a hybrid model such as qwen3:4b, "
            "or leave enable_thinking and the thinking budget out",
            param="enable_thinking" if thinking.enabled else "thinking_budget",
        )
    soft = soft_switch(messages)
    warnings = () if soft is None or soft == thinks else (f"{profile.name} cannot follow the switch in the text",)
    return Mode(thinks, "model", False, (*_unmet(thinking, profile), *warnings))


def _unmet(thinking: Thinking, profile: ModelProfile) -> tuple[str, ...]:
    """What a model that cannot switch says to a preference."""
    if profile.capability == "thinking":
        unmet = thinking.enabled is False
        return (f"{thinking.preference} has no effect: {profile.name} always thinks",) if unmet else ()
    if thinking.enabled or thinking.budget is not None:
        return (
            f"{thinking.preference} has no effect: {profile.name} is a model without thinking ({profile.capability})",
        )
    return ()


def resolve(
    sampling: SamplingParams,
    thinking: Thinking,
    mode: Mode,
    profile: ModelProfile,
    prompt_tokens: int,
    ceiling: Ceiling | None = None,
) -> RequestSettings:
    """Fill every open value. Raises ContextLengthExceeded, or UserError for a logit_bias id the tokenizer lacks."""
    ceiling = ceiling or Ceiling()
    warnings = list(mode.warnings)
    room = profile.context - prompt_tokens
    if room < 1:
        raise ContextLengthExceeded(prompt_tokens, profile.context)
    outside = [i for i in sampling.logit_bias if i >= profile.vocab]
    if outside:
        raise UserError(f"logit_bias[{outside[0]}]: the vocabulary ends at {profile.vocab - 1}", param="logit_bias")
    if outside := [i for i in sampling.stop_token_ids if not 0 <= i < profile.vocab]:
        text = f"stop_token_ids: {outside[0]} is no id, the vocabulary ends at {profile.vocab - 1}"
        raise UserError(text, param="stop_token_ids")
    defaults, fallback = (
        (profile.thinking_defaults, THINKING_DEFAULTS) if mode.thinking else (profile.answer_defaults, ANSWER_DEFAULTS)
    )
    filled = sampling.with_defaults(defaults).with_defaults(fallback).with_defaults(_NO_PENALTY)
    filled = filled.with_defaults(SamplingParams(seed=secrets.randbits(32), max_tokens=room))
    advised = defaults.with_defaults(fallback).temperature  # 0 for a model that is made to be asked so
    if mode.thinking and filled.temperature == 0 and advised:
        text = f"temperature 0 in thinking mode: greedy thoughts tend to loop; the model card advises {advised:g}"
        warnings.append(text)
    max_tokens = _lowered("max_tokens", filled.max_tokens, room, "what the context leaves", warnings)
    max_tokens = _lowered("max_tokens", max_tokens, ceiling.max_tokens, "the server's ceiling", warnings)
    assert max_tokens is not None and filled.seed is not None
    budget = _lowered("the thinking budget", thinking.budget, ceiling.budget, "the server's ceiling", warnings)
    if not mode.thinking and mode.source in ("request", "model"):
        if thinking.budget is not None and not thinking.preference:  # of a preference the mode has warned
            warnings.append("the thinking budget has no effect: thinking is off")
        budget = None
    return _settings(filled, thinking, mode, profile, max_tokens, budget, warnings)


def _settings(
    filled: SamplingParams,
    thinking: Thinking,
    mode: Mode,
    profile: ModelProfile,
    max_tokens: int,
    budget: int | None,
    warnings: list[str],
) -> RequestSettings:
    assert filled.temperature is not None and filled.top_p is not None and filled.seed is not None
    assert filled.top_k is not None and filled.min_p is not None
    effective = ResolvedSettings(
        thinking=mode.thinking,
        thinking_source=mode.source,
        budget=budget,
        temperature=filled.temperature,
        top_p=filled.top_p,
        top_k=filled.top_k,
        min_p=filled.min_p,
        seed=filled.seed,
        max_tokens=max_tokens,
        truncated_tokens=mode.truncated_tokens,
    )
    can_think = profile.capability in ("hybrid", "thinking")
    return RequestSettings(effective, filled, thinking, profile.eos_ids, profile.vocab, can_think, tuple(warnings))


def _lowered(what: str, asked: int | None, limit: int | None, whose: str, warnings: list[str]) -> int | None:
    """min(asked, limit) where None is infinite; a number that was asked for and lowered is a warning."""
    if limit is None or (asked is not None and asked <= limit):
        return asked
    if asked is not None:
        warnings.append(f"{what} lowered from {asked} to {limit}: {whose}")
    return limit
