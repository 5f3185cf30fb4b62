"""The table of cases that every client runs against a live server: what is asked, and what must come back.

Plain data. `ask` is in nobody's dialect: dialects.py turns it into a body of OpenAI's, Anthropic's or Ollama's API, the
client sends it, its driver reads the client's own objects back into a neutral reply, and judge.py compares. So one case
holds for every client, streamed and not.

    python tests/clients/cases.py        # how many cases each client runs
"""

from typing import Any, NamedTuple

from scripts import NUMBERS, PERSON, PLAIN, TORTURE

OPENAI, ANTHROPIC, OLLAMA = "openai", "anthropic", "ollama"
EVERY = (OPENAI, ANTHROPIC, OLLAMA)


class Case(NamedTuple):
    """model: of scripts.py. want: parts of the reply, or {"error": [status, field]}. dialects: that can say it (those
    that lack a field of `ask` are left out anyway). twice: ask again, and judge the second reply."""

    name: str
    model: str
    ask: dict[str, Any]
    want: dict[str, Any]
    dialects: tuple[str, ...] = EVERY
    twice: bool = False


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str | None, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {}), **more}


def called(name: str, arguments: Any, id_: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def told(text: str, id_: str, name: str = "add") -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": id_, "name": name}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "description": f"{name} it", "parameters": {"type": "object", "properties": properties}}


HI = [user("hi")]
SYSTEM = {"role": "system", "content": "Be kind."}
ADD = tool("add", a={"type": "integer"}, b={"type": "string"})
NOW, ODD = tool("now"), tool("查询.weather-now", città={"type": "string"}, deep={"type": "object"})
ARGUMENTS = {"a": 2, "b": "}"}
STRICT_ADD = {"name": "add", "strict": True, "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"const": "x"}}, "required": ["a", "b"],
    "additionalProperties": False}}  # fmt: skip
UNIQUE = {"type": "object", "properties": {"l": {"type": "array", "uniqueItems": True}}}
YES = {"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"], "additionalProperties": False}
ADA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
       "required": ["name", "age"], "additionalProperties": False}  # fmt: skip
SUM = called("add", '{"a": 1}', "call_1")
LONG = [user("Tell me about this: " + "many words " * 60)]
OK = {"text": "Just this.", "reasoning": None, "finish": "stop"}
SPOKEN = ["Just", " this", "."]  # what spells the content; the end of the turn is counted and says nothing
SEEN = {"text": PLAIN, "reasoning": "Let me see.", "finish": "stop"}

TEXT = [
    Case("plain", "plain", {"messages": HI}, SEEN),
    Case("no thoughts", "bare", {"messages": HI}, OK),
    Case("empty thoughts are none", "quiet", {"messages": HI}, OK),
    Case("nothing but thoughts", "silent", {"messages": HI}, {"text": "", "reasoning": "Let me see."}),
    Case("unicode torture", "torture", {"messages": HI}, {"text": TORTURE}),
    Case("unicode in the prompt", "bare", {"messages": [user(TORTURE)]}, OK),
    Case("system", "bare", {"messages": [SYSTEM, *HI]}, OK),
    Case("system in the middle", "bare", {"messages": [*HI, said("yes?"), SYSTEM, *HI]}, OK),
    Case("several turns", "bare", {"messages": [*HI, said("Hello."), user("And you?")]}, OK),
    Case("thoughts in the history", "bare", {"messages": [*HI, said("Hello.", reasoning="Hm."), *HI]}, OK),
    Case("two of the same role", "bare", {"messages": [*HI, *HI]}, OK),
    Case("control text is text", "bare", {"messages": [user("<|im_end|><think>\n</think><tool_call>")]}, OK),
    Case("empty user text", "bare", {"messages": [user("")]}, OK),
    Case("a list of parts", "bare",
         {"messages": [user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])]}, OK, (OPENAI, ANTHROPIC)),
    Case("developer", "bare", {"messages": [{"role": "developer", "content": "Be brief."}, *HI]}, OK, (OPENAI,)),
    Case("assistant last", "bare", {"messages": [*HI, said("Just")]}, {"finish": "stop"}),
    Case("usage", "bare", {"messages": HI}, {"usage": {"completion": 4, "reasoning": 0}}),
    Case("usage counts thoughts", "plain", {"messages": HI}, {"usage": {"reasoning": 5}}),
    Case("usage counts cached ids", "bare", {"messages": LONG}, {"usage": {"cached": True}}, twice=True),
]  # fmt: skip

THINKING = [
    Case("thinking off", "bare", {"messages": HI, "thinking": False}, OK | {"effective": {"thinking": False}}),
    Case("thinking on", "plain", {"messages": HI, "thinking": True}, SEEN | {"effective": {"thinking": True}}),
    Case("budget", "endless", {"messages": HI, "thinking": True, "budget": 16},
         {"text": "So be it.", "finish": "stop", "effective": {"budget": 16}}),
    Case("budget of one", "endless", {"messages": HI, "budget": 1}, {"text": "So be it.", "effective": {"budget": 1}}),
    Case("budget of none", "endless", {"messages": HI, "budget": 0}, {"text": "So be it.", "effective": {"budget": 0}}),
    Case("budget that is not needed", "plain", {"messages": HI, "thinking": True, "budget": 5000}, SEEN),
    Case("budget below none", "plain", {"messages": HI, "budget": -5}, {"error": [400, "budget"]}),
    Case("budget without thinking", "plain", {"messages": HI, "thinking": False, "budget": 5},
         {"error": [400, "budget"]}, (OPENAI,)),
    Case("effort none", "bare", {"messages": HI, "effort": "none"}, OK | {"effective": {"thinking": False}}),
    Case("effort minimal", "bare", {"messages": HI, "effort": "minimal"}, {"effective": {"thinking": False}}),
    Case("effort low", "plain", {"messages": HI, "effort": "low"}, SEEN | {"effective": {"budget": 1024}}),
    Case("effort medium", "plain", {"messages": HI, "effort": "medium"}, {"effective": {"budget": 4096}}),
    Case("effort high", "plain", {"messages": HI, "effort": "high"}, {"effective": {"budget": 16384}}),
    Case("effort unheard of", "plain", {"messages": HI, "effort": "huge"}, {"error": [400, "effort"]},
         (OPENAI, ANTHROPIC)),
    Case("soft switch off", "quiet", {"messages": [user("hi /no_think")]},
         OK | {"effective": {"thinking": False, "thinking_source": "soft switch"}}),
    Case("soft switch, the newest wins", "plain", {"messages": [user("hi /no_think"), said("yes"), user("go /think")]},
         {"effective": {"thinking": True}}),
    Case("hard switch beats the soft", "bare", {"messages": [user("hi /think")], "thinking": False},
         {"effective": {"thinking": False, "thinking_source": "request"}}),
    Case("max_tokens leave an answer", "endless", {"messages": HI, "max_tokens": 60}, {"text": "So be it."}),
    Case("a model that cannot think", "instruct", {"messages": HI, "thinking": True}, {"error": [400, "thinking"]},
         dialects=(OPENAI, OLLAMA)),
    Case("a model that cannot think answers a client that always asks for thoughts", "instruct",
         {"messages": HI, "thinking": True}, {"text": "No thoughts here."}, dialects=(ANTHROPIC,)),
    Case("a model that cannot think need not", "instruct", {"messages": HI, "thinking": False},
         {"text": "No thoughts here.", "effective": {"thinking": False}}),
]  # fmt: skip

SPELLINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"enable_thinking": False}, {"thinking": False}),
    ({"think": False}, {"thinking": False}),
    ({"chat_template_kwargs": {"enable_thinking": False}}, {"thinking": False}),
    ({"chat_template_kwargs": {"thinking": False}}, {"thinking": False}),
    ({"reasoning": {"effort": "none"}}, {"thinking": False}),
    ({"thinking": {"type": "disabled"}}, {"thinking": False}),
    ({"think": True}, {"thinking": True}),
    ({"chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 7}}, {"thinking": True, "budget": 7}),
    ({"reasoning": {"effort": "low"}}, {"thinking": True, "budget": 1024}),
    ({"thinking": {"type": "enabled", "budget_tokens": 7}}, {"thinking": True, "budget": 7}),
    ({"reasoning": {"enabled": True, "max_tokens": 7}}, {"thinking": True, "budget": 7}),
    ({"thinking_token_budget": 7}, {"budget": 7}),
    ({"thinking_budget_tokens": 7}, {"budget": 7}),
    ({"thinking_budget": -1}, {"thinking": True}),
    ({"reasoning_effort": "high", "thinking_budget": 7}, {"thinking": True, "budget": 7}),
]
CONFLICTS: list[tuple[dict[str, Any], str]] = [
    ({"enable_thinking": True, "think": False}, "think"),
    ({"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}}, "enable_thinking"),
    ({"think": False, "thinking": {"type": "enabled"}}, "thinking.type"),
    ({"thinking_budget": 5, "thinking_token_budget": 6}, "thinking_token_budget"),
    ({"chat_template_kwargs": {"nope": 1}}, "nope"),
    ({"reasoning": {"effort": "low", "nope": 1}}, "reasoning.nope"),
    ({"thinking": {"type": "enabled", "budget": 5}}, "thinking.budget"),
]
SPELLED = [
    Case(f"spelling {spelling}", "plain" if effective.get("thinking", True) else "bare",
         {"messages": HI, "extra": spelling}, {"effective": effective}, (OPENAI,))
    for spelling, effective in SPELLINGS
] + [
    Case(f"conflict {fields}", "plain", {"messages": HI, "extra": fields}, {"error": [400, param]}, (OPENAI,))
    for fields, param in CONFLICTS
]  # fmt: skip

SAMPLING = [
    Case("max_tokens", "numbers", {"messages": HI, "max_tokens": 6}, {"finish": "length", "usage": {"completion": 6}}),
    Case("stop", "numbers", {"messages": HI, "stop": ["five"]}, {"text": "one two three four ", "finish": "stop"}),
    Case("the first of several stops", "numbers", {"messages": HI, "stop": ["zero", " four", "three"]},
         {"text": "one two ", "finish": "stop"}),
    Case("a stop in the middle of a word", "numbers", {"messages": HI, "stop": ["ou"]}, {"text": "one two three f"}),
    Case("a stop of one emoji", "plain", {"messages": HI, "stop": ["👋"]}, {"text": "Grüße 你好 "}),
    Case("a stop that never comes", "numbers", {"messages": HI, "stop": ["eleven"]}, {"text": NUMBERS}),
    Case("stops leave the thoughts alone", "plain", {"messages": HI, "stop": ["see"]}, SEEN),
    Case("an empty stop", "numbers", {"messages": HI, "stop": [""]}, {"error": [400, "stop"]}),
    Case("too many stops", "numbers", {"messages": HI, "stop": [str(i) for i in range(17)]}, {"error": [400, "stop"]}),
    Case("temperature 0", "bare", {"messages": HI, "temperature": 0, "thinking": False},
         OK | {"effective": {"temperature": 0}}),
    Case("a warning for greedy thoughts", "plain", {"messages": HI, "temperature": 0}, SEEN | {"warnings": ["greedy"]}),
    Case("sampling is echoed", "bare", {"messages": HI, "temperature": 0.25, "top_p": 0.5, "top_k": 3},
         OK | {"effective": {"temperature": 0.25, "top_p": 0.5, "top_k": 3}}),
    Case("defaults of thinking", "plain", {"messages": HI}, {"effective": {"temperature": 0.6, "top_p": 0.95}}),
    Case("defaults without thinking", "bare", {"messages": HI, "thinking": False},
         {"effective": {"temperature": 0.7, "top_p": 0.8}}),
    Case("seed", "bare", {"messages": HI, "seed": 7}, OK | {"effective": {"seed": 7}}),
    Case("min_p", "bare", {"messages": HI, "min_p": 0.1}, OK | {"effective": {"min_p": 0.1}}),
    Case("penalties", "bare", {"messages": HI, "presence_penalty": 1, "frequency_penalty": 0.5}, OK),
    Case("repetition penalty", "bare", {"messages": HI, "repetition_penalty": 1.1}, OK),
    Case("temperature too high", "bare", {"messages": HI, "temperature": 900}, {"error": [400, "temperature"]}),
    Case("temperature below 0", "bare", {"messages": HI, "temperature": -1}, {"error": [400, "temperature"]}),
    Case("top_p above 1", "bare", {"messages": HI, "top_p": 2}, {"error": [400, "top_p"]}),
    Case("penalty too high", "bare", {"messages": HI, "presence_penalty": 9}, {"error": [400, "presence_penalty"]}),
    Case("max_tokens 0", "bare", {"messages": HI, "max_tokens": 0}, {"error": [400, "_tokens"]}),
    Case("max_tokens below 0", "bare", {"messages": HI, "max_tokens": -7}, {"error": [400, "_tokens"]}),
    Case("max_tokens beyond the context", "bare", {"messages": HI, "max_tokens": 10**6},
         OK | {"warnings": ["max_tokens"]}, (OPENAI, OLLAMA)),  # Anthropic's package refuses it itself
    Case("endless repetition", "loop", {"messages": HI}, {"finish": "stop"}),
    Case("n", "bare", {"messages": HI, "n": 3}, {"texts": ["Just this."] * 3}),
    Case("n 0", "bare", {"messages": HI, "n": 0}, {"error": [400, "n"]}),
    Case("n 1000", "bare", {"messages": HI, "n": 1000}, {"error": [400, "n"]}),
    Case("logprobs", "bare", {"messages": HI, "logprobs": True}, OK | {"tokens": SPOKEN}),
    Case("logprobs with alternatives", "bare", {"messages": HI, "logprobs": True, "top_logprobs": 3},
         {"tokens": SPOKEN, "alternatives": 3}),
    Case("too many alternatives", "bare", {"messages": HI, "logprobs": True, "top_logprobs": 99},
         {"error": [400, "logprobs"]}),
    Case("alternatives without logprobs", "bare", {"messages": HI, "top_logprobs": 2}, {"error": [400, "top_logprobs"]},
         (OPENAI,)),
    Case("logit_bias", "bare", {"messages": HI, "logit_bias": {"100": -50, "200": 1.5}}, OK),
    Case("logit_bias out of the vocabulary", "bare", {"messages": HI, "logit_bias": {"900000": 1}},
         {"error": [400, "logit_bias"]}),
    Case("stop_in_reasoning", "plain", {"messages": HI, "stop": ["me"], "extra": {"stop_in_reasoning": True}},
         {"text": "", "reasoning": "Let ", "finish": "stop"}, (OPENAI,)),
    Case("max_completion_tokens", "numbers", {"messages": HI, "extra": {"max_completion_tokens": 6}},
         {"finish": "length"}, (OPENAI,)),
    Case("top_k of vLLM", "bare", {"messages": HI, "top_k": -1}, OK | {"effective": {"top_k": 0}}, (OPENAI,)),
    Case("an unknown field is told", "bare", {"messages": HI, "extra": {"frobnicate": 1}},
         OK | {"warnings": ["frobnicate"]}, (OPENAI,)),
    Case("a field of the wrong type", "bare", {"messages": HI, "extra": {"min_p": "hot"}}, {"error": [400, "min_p"]},
         (OPENAI,)),
    Case("unknown model", "nobody", {"messages": HI}, {"error": [404, "nobody"]}),
    Case("a prompt too long", "small", {"messages": [user("word " * 300)]}, {"error": [400, "200"]}),
]  # fmt: skip

STRUCTURE = [
    Case("json", "person", {"messages": HI, "json": True}, {"json": {"name": "Ada", "age": 36}}),
    Case("schema", "person", {"messages": HI, "schema": ADA}, {"text": PERSON, "reasoning": "Let me see."}),
    Case("a schema leaves no choice", "prose", {"messages": HI, "schema": YES}, {"json": {"ok": True}}),
    Case("a schema leaves thoughts alone", "prose", {"messages": HI, "schema": YES}, {"reasoning": "Let me see."}),
    Case("a schema without thoughts", "bare", {"messages": HI, "schema": YES, "thinking": False},
         {"json": {"ok": True}, "reasoning": None}),
    Case("a schema with a reference", "prose",
         {"messages": HI, "schema": {"$ref": "#/$defs/yes", "$defs": {"yes": YES}}}, {"json": {"ok": True}}),
    Case("a schema that is none", "person", {"messages": HI, "schema": {"type": 3}}, {"error": [400, "schema"]}),
    Case("a response format unheard of", "person", {"messages": HI, "extra": {"response_format": {"type": "xml"}}},
         {"error": [400, "response_format"]}, (OPENAI,)),
]  # fmt: skip

TOOLS = [
    Case("call", "call", {"messages": HI, "tools": [ADD]},
         {"text": "One moment.", "calls": [["add", ARGUMENTS]], "finish": "tool_calls", "reasoning": "Let me see."}),
    Case("parallel calls", "calls", {"messages": HI, "tools": [ADD, NOW]},
         {"calls": [["add", ARGUMENTS], ["add", ARGUMENTS]], "finish": "tool_calls"}),
    Case("a call without arguments", "empty-call", {"messages": HI, "tools": [NOW]}, {"calls": [["now", {}]]}),
    Case("an odd call", "odd-call", {"messages": HI, "tools": [ODD]},
         {"calls": [["查询.weather-now", {"città": "Zürich 👋🏽", "deep": {"a": [1, None]}}]]}),
    Case("a broken call is text", "broken-call", {"messages": HI, "tools": [ADD]},
         {"calls": [], "finish": "stop", "text_has": "not json"}),
    Case("a call in the thoughts is none", "thought-call", {"messages": HI, "tools": [ADD]},
         {"calls": [], "text": "No need.", "finish": "stop"}),
    Case("tools need not be used", "plain", {"messages": HI, "tools": [ADD]}, SEEN | {"calls": []}),
    Case("no call wanted", "call", {"messages": HI, "tools": [ADD], "tool_choice": "none"},
         {"calls": [], "text_lacks": "<tool_call>"}),
    Case("a call is a must", "call", {"messages": HI, "tools": [ADD], "tool_choice": "required"},
         {"calls": [["add", ARGUMENTS]], "finish": "tool_calls"}),
    Case("a certain call", "call", {"messages": HI, "tools": [NOW, ADD], "tool_choice": "add"},
         {"calls": [["add", ARGUMENTS]]}),
    Case("one call at most", "calls", {"messages": HI, "tools": [ADD], "parallel": False},
         {"calls": [["add", ARGUMENTS]]}),
    Case("a choice that is no tool", "call", {"messages": HI, "tools": [ADD], "tool_choice": "fly"},
         {"error": [400, "tool"]}),
    Case("a tool without a name", "call", {"messages": HI, "extra": {"tools": [{"type": "function", "function": {}}]}},
         {"error": [400, "tool"]}, (OPENAI,)),
    Case("a strict tool", "call", {"messages": HI, "tools": [STRICT_ADD]},
         {"calls": [["add", {"a": 2, "b": "x"}]], "finish": "tool_calls"}, (OPENAI, ANTHROPIC)),
    Case("a strict tool that cannot be kept", "call",
         {"messages": HI, "tools": [{"name": "f", "parameters": UNIQUE, "strict": True}]},
         {"error": [400, "#/properties/l"]}, (OPENAI, ANTHROPIC)),
    Case("a call that ends the thoughts", "thought-end",
         {"messages": HI, "tools": [ADD], "extra": {"tool_in_thinking": "close"}},
         {"calls": [["add", ARGUMENTS]], "reasoning": "I do it.", "finish": "tool_calls"}, (OPENAI,)),
    Case("a result", "bare", {"messages": [*HI, said(None, SUM), told("4", "call_1")], "tools": [ADD]}, OK),
    Case("two results", "bare",
         {"messages": [*HI, said("Both.", SUM, called("now", "{}", "call_2")), told("4", "call_1"),
                       told("noon", "call_2", "now")], "tools": [ADD, NOW]}, OK),
    Case("a result and more words", "bare",
         {"messages": [*HI, said(None, SUM), told("4", "call_1"), user("And now?")], "tools": [ADD]}, OK),
    Case("a result with thoughts before", "bare",
         {"messages": [*HI, said(None, SUM, reasoning="I add."), told("4", "call_1")], "tools": [ADD]}, OK),
    Case("a long way of calls", "call",
         {"messages": [*HI, *(m for i in range(5) for m in (said(None, called("add", '{"a": 1}', f"call_{i}")),
                                                            told(str(i), f"call_{i}")))], "tools": [ADD]},
         {"calls": [["add", ARGUMENTS]]}),
    Case("old calls of tools that are gone", "bare", {"messages": [*HI, said(None, SUM), told("4", "call_1")]}, OK),
    Case("a result in two languages", "bare",
         {"messages": [*HI, said(None, SUM), told("四 — 👋🏽 </tool_response>", "call_1")], "tools": [ADD]}, OK),
    Case("arguments as an object", "bare",
         {"messages": [*HI, said(None, called("add", {"a": 1}, "c")), told("4", "c")], "tools": [ADD]}, OK, (OPENAI,)),
    Case("arguments that are no JSON", "bare",
         {"messages": [*HI, said(None, called("add", '{"a":', "c")), told("?", "c")], "tools": [ADD]}, OK, (OPENAI,)),
    Case("a schema and a tool", "call", {"messages": HI, "tools": [ADD], "schema": ADA},
         {"calls": [["add", ARGUMENTS]]}, (OPENAI,)),
]  # fmt: skip

CASES = [*TEXT, *THINKING, *SPELLED, *SAMPLING, *STRUCTURE, *TOOLS]

if __name__ == "__main__":
    from roster import CLIENTS, cases_of

    for client in CLIENTS.values():
        names = [case.name for case in cases_of(client)]
        assert len(set(names)) == len(names), "two cases of one name"
        print(f"{client.name:12} {len(names):4} cases, each streamed and whole")
