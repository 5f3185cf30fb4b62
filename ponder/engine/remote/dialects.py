"""What the servers that speak OpenAI's protocol really understand, one row each.

A server that does not know a field mostly ignores it in silence. So only what is listed here is sent; anything else
that a request asks for is refused by name, or becomes a warning where an approximation exists (request.py).
"""

from typing import Literal

from msgspec import Struct

from ponder.core.errors import UserError

Name = Literal["ponder", "vllm", "sglang", "llama.cpp", "ollama", "openai"]

_OPENAI = {
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "max_tokens": "max_tokens",
}
_ENDS = ("min_tokens", "ignore_eos", "stop_token_ids")
_SAMPLERS = {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"}


class Dialect(Struct, frozen=True):
    """sampling: our numeric fields -> the server's. can: further abilities, of
        n, logit_bias, logprobs      as OpenAI has them
        named_tool, one_tool         tool_choice with a name; parallel_tool_calls: false
        min_tokens, ignore_eos, stop_token_ids   when a reply may end
        stop_in_reasoning            stop strings spare the thoughts unless the request says otherwise
        answer_now                   our own route for ending the thoughts
    switch: how thinking is switched. budget: the field of the thinking budget; "" is none.
    grammars: kinds beyond json_object and json_schema.
    """

    name: Name
    sampling: dict[str, str]
    can: frozenset[str]
    switch: Literal["enable_thinking", "chat_template_kwargs", "reasoning_effort"]
    budget: str
    grammars: frozenset[str] = frozenset()


DIALECTS: dict[str, Dialect] = {
    d.name: d
    for d in (
        Dialect(
            "ponder",
            _OPENAI | _SAMPLERS,
            frozenset(
                ("n", "logit_bias", "logprobs", "named_tool", "one_tool", "stop_in_reasoning", "answer_now", *_ENDS)
            ),
            "enable_thinking",
            "thinking_budget",
            frozenset(("regex", "choice", "gbnf")),
        ),
        Dialect(
            "vllm",
            _OPENAI | _SAMPLERS,
            frozenset(("n", "logit_bias", "logprobs", "named_tool", "one_tool", *_ENDS)),
            "chat_template_kwargs",
            "thinking_token_budget",
            frozenset(("regex", "choice", "gbnf")),
        ),
        Dialect(
            "sglang",
            _OPENAI | _SAMPLERS,
            frozenset(("n", "logit_bias", "logprobs", "named_tool", *_ENDS)),
            "chat_template_kwargs",
            "custom_params.thinking_budget",
            frozenset(("regex", "choice", "gbnf")),
        ),
        Dialect(  # a tool_choice with a name becomes "auto" there in silence
            "llama.cpp",
            _OPENAI | {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repeat_penalty"},
            frozenset(("n", "logit_bias", "logprobs", "one_tool")),
            "chat_template_kwargs",
            "thinking_budget_tokens",
            frozenset(("choice", "gbnf")),
        ),
        Dialect("ollama", _OPENAI, frozenset(("logprobs",)), "reasoning_effort", ""),
        Dialect(
            "openai",
            _OPENAI,
            frozenset(("n", "logit_bias", "logprobs", "named_tool", "one_tool")),
            "reasoning_effort",
            "",
        ),
    )
}
OWNERS: dict[str, str] = {
    "ponder": "ponder",
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "library": "ollama",
}


def dialect_named(name: str) -> Dialect:
    if name not in DIALECTS:
        raise UserError(f"dialect {name!r}: choose auto, {', '.join(DIALECTS)}", param="dialect")
    return DIALECTS[name]


def dialect_of(owner: str) -> Dialect:
    """By what a server's list of models says in `owned_by`; whoever says something else gets plain OpenAI."""
    return DIALECTS[OWNERS.get(owner, "openai")]
