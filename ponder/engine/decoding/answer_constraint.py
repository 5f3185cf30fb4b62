"""What an answer may be: grammar, tools and tool_choice of a request, as one value for RequestState (TC-4, SO-1).

tool_choice   none       no `<tool_call>` id in the answer
              auto       free; beside a grammar, the answer is either a call or follows the grammar; where one of the
                         tools is strict, what follows a `<tool_call>` is a call by grammar
              required   at least one call, by grammar
              NAME       one call or more of that tool, by grammar
parallel_tool_calls False: the answer ends with its first call.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from ponder.core.errors import UserError
from ponder.core.params import Grammar
from ponder.core.request import ChatRequest
from ponder.engine.decoding.grammar import compile_calls, compile_grammar, is_strict
from ponder.engine.decoding.matcher import Compiled
from ponder.engine.decoding.settings import ModelProfile
from ponder.text.calls.untagged_calls import UntaggedCalls
from ponder.text.calls.xml_calls import Schemas, schemas_of
from ponder.text.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class AnswerRules:
    """grammar: what the answer must match, None when it is free. free_calls: a call may stand in its place.
    calls: what a call must match, None when it is free.
    no_calls: the `<tool_call>` id is never sampled. single_call: end after the first call. text_calls: there is nothing
    to call, so what looks like a call is text. call_deltas: calls are told while they are written. schemas: of the
    tools, by which values of XML calls are read. untagged: names of the tools whose calls may come as JSON without
    tags, bare_calls: whether they may come as XML without; not where a call must keep to a schema, for only calls in
    tags are held to it."""

    grammar: Compiled | None = None
    calls: Compiled | None = None
    free_calls: bool = False
    no_calls: bool = False
    single_call: bool = False
    text_calls: bool = False
    call_deltas: bool = False
    schemas: Schemas = field(default_factory=dict)
    untagged: frozenset[str] = frozenset()
    bare_calls: bool = False
    warnings: tuple[str, ...] = ()

    def untagged_reader(self) -> UntaggedCalls | None:
        """For one choice."""
        if not self.untagged:
            return None
        return UntaggedCalls(self.untagged, allowed=not self.no_calls, single=self.single_call)


def chat_rules(tokenizer: Tokenizer, profile: ModelProfile, request: ChatRequest, *, xml: bool) -> AnswerRules:
    """Of a chat request to this model; see `answer_rules`."""
    rules = answer_rules(
        tokenizer,
        profile.eos_ids,
        grammar=request.grammar,
        tools=request.tools,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        untagged=profile.untagged_calls,
        xml=xml,
    )
    return replace(rules, call_deltas=request.call_deltas)


def answer_rules(
    tokenizer: Tokenizer,
    eos_ids: tuple[int, ...],
    *,
    grammar: Grammar | None = None,
    tools: tuple[dict[str, Any], ...] = (),
    tool_choice: str = "auto",
    parallel_tool_calls: bool = True,
    untagged: bool = False,
    xml: bool = False,
) -> AnswerRules:
    """Compile, once a request and before anything is generated. untagged: the model leaves out the tags of its calls.
    xml: it writes them in Qwen3-Coder's form.

    Raises UserError for what cannot be enforced."""
    names = [tool_name(tool) for tool in tools]
    schemas = schemas_of(tools)
    if tool_choice in ("auto", "none"):
        compiled = compile_grammar(tokenizer, eos_ids, grammar) if grammar else None
        calls = None
        if tool_choice == "auto" and any(map(is_strict, tools)):
            _need_tags(tokenizer, "tools")
            calls = compile_calls(tokenizer, eos_ids, tools, single=True, only_strict=True, xml=xml)
        return AnswerRules(
            grammar=compiled,
            calls=calls,
            free_calls=bool(tools) and tool_choice == "auto",
            no_calls=tool_choice == "none",
            single_call=not parallel_tool_calls,
            text_calls=not tools,
            schemas=schemas,
            untagged=frozenset(names) if untagged and grammar is None and calls is None else frozenset(),
            bare_calls=tool_choice == "auto" and grammar is None and calls is None,
            warnings=compiled.warnings if compiled else (),
        )
    if grammar is not None:
        raise UserError(
            f'tool_choice "{tool_choice}" and a response format contradict each other: the answer cannot be both a '
            "call and a text; leave one out",
            param="tool_choice",
        )
    chosen = tools if tool_choice == "required" else tuple(t for t, n in zip(tools, names) if n == tool_choice)
    if not chosen:
        known = ", ".join(names) or "there are none"
        raise UserError(f'tool_choice is "{tool_choice}", but the tools are: {known}', param="tool_choice")
    _need_tags(tokenizer, "tool_choice")
    compiled = compile_calls(tokenizer, eos_ids, chosen, single=not parallel_tool_calls, xml=xml)
    return AnswerRules(
        compiled, compiled, single_call=not parallel_tool_calls, schemas=schemas, warnings=compiled.warnings
    )


def _need_tags(tokenizer: Tokenizer, param: str) -> None:
    if tokenizer.tool_call is None:
        raise UserError("this model's vocabulary has no <tool_call>, its calls cannot be held to a form", param=param)


def tool_name(tool: dict[str, Any]) -> str:
    """Raises UserError for what is no tool."""
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UserError("each of the tools needs a string name", param="tools")
    if not isinstance(function.get("parameters"), dict | None):
        raise UserError(f"tools: the parameters of {function['name']} must be a JSON schema object", param="tools")
    if not isinstance(function.get("strict"), bool | None):
        raise UserError(f"tools: strict of {function['name']} is true or false", param="tools")
    return str(function["name"])
