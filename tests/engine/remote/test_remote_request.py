"""What is sent to servers of every dialect: each setting arrives under its name there, or is refused by ours."""

import json
from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.request import ChatRequest
from ponder.engine.remote.dialects import DIALECTS, dialect_of
from ponder.engine.remote.request import chat_body, completion_body

USER = (Message.user("hi"),)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def body(dialect: str, **fields: Any) -> dict[str, Any]:
    return chat_body(ChatRequest(**{"messages": USER} | fields), "m", DIALECTS[dialect]).body


def warnings(dialect: str, **fields: Any) -> tuple[str, ...]:
    return chat_body(ChatRequest(**{"messages": USER} | fields), "m", DIALECTS[dialect]).warnings


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_plain_request_sends_nothing_that_was_not_asked_for(dialect: str) -> None:
    sent = body(dialect)
    assert sent == {
        "model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert warnings(dialect) == ()


SETTINGS: dict[str, Any] = {
    "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "presence_penalty": 1.0, "frequency_penalty": 0.5,
    "repetition_penalty": 1.1, "seed": 7, "max_tokens": 9, "stop": ("x",), "logit_bias": {3: 2.0}, "logprobs": 2,
    "n": 2, "min_tokens": 3, "ignore_eos": True, "stop_token_ids": (5,),
}  # fmt: skip
ENDS = {"min_tokens", "ignore_eos", "stop_token_ids"}
REFUSED = {
    "ponder": set(),
    "vllm": set(),
    "sglang": set(),
    "llama.cpp": ENDS,
    "ollama": {"top_k", "min_p", "repetition_penalty", "logit_bias", "n"} | ENDS,
    "openai": {"top_k", "min_p", "repetition_penalty"} | ENDS,
}


def test_no_setting_is_forgotten() -> None:
    assert {*SETTINGS, "stop_in_reasoning"} == set(SamplingParams.__struct_fields__)


def test_what_stop_strings_spare_is_said() -> None:
    """Ours tells the thoughts apart; the others match them there whatever is asked."""
    free, bound = (SamplingParams(stop=("x",), stop_in_reasoning=there) for there in (False, True))
    assert body("ponder", sampling=bound)["stop_in_reasoning"] is True
    assert "stop_in_reasoning" not in body("ponder", sampling=free) | body("vllm", sampling=bound)
    assert "in the thoughts too" in "".join(warnings("vllm", sampling=free))
    assert not warnings("vllm", sampling=bound)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_sent_or_refused_by_name(dialect: str, name: str) -> None:
    sampling = SamplingParams(**{name: SETTINGS[name]})
    if name in REFUSED[dialect]:
        with pytest.raises(UserError) as refused:
            body(dialect, sampling=sampling)
        assert refused.value.param == name and dialect in str(refused.value)
        return
    extra = {k: v for k, v in body(dialect, sampling=sampling).items() if k not in body(dialect)}
    expected: dict[str, Any] = {
        "stop": {"stop": ["x"]}, "logit_bias": {"logit_bias": {"3": 2.0}},
        "logprobs": {"logprobs": True, "top_logprobs": 2}, "stop_token_ids": {"stop_token_ids": [5]},
    }.get(name, {name: SETTINGS[name]})  # fmt: skip
    if dialect == "llama.cpp" and name == "repetition_penalty":
        expected = {"repeat_penalty": 1.1}
    assert extra == expected


def test_thinking_in_every_dialect() -> None:
    off, budget = Thinking(enabled=False), Thinking(enabled=True, budget=300)
    kwargs = {"chat_template_kwargs": {"enable_thinking": True}}
    rows = {
        "ponder": ({"enable_thinking": False}, {"enable_thinking": True, "thinking_budget": 300}),
        "vllm": ({"chat_template_kwargs": {"enable_thinking": False}}, kwargs | {"thinking_token_budget": 300}),
        "sglang": (
            {"chat_template_kwargs": {"enable_thinking": False}},
            kwargs | {"custom_params": {"thinking_budget": 300}},
        ),
        "llama.cpp": ({"chat_template_kwargs": {"enable_thinking": False}}, kwargs | {"thinking_budget_tokens": 300}),
        "ollama": ({"reasoning_effort": "none"}, {"reasoning_effort": "low"}),
        "openai": ({"reasoning_effort": "none"}, {"reasoning_effort": "low"}),
    }
    for dialect, (without, limited) in rows.items():
        plain = body(dialect)
        for wish, expected in ((off, without), (budget, limited)):
            assert {k: v for k, v in body(dialect, thinking=wish).items() if k not in plain} == expected
        told = warnings(dialect, thinking=budget)
        assert bool(told) == (dialect in ("sglang", "ollama", "openai")), told
    assert body("openai", thinking=Thinking(budget=20_000))["reasoning_effort"] == "high"
    with pytest.raises(UserError, match="local engine"):
        body("ponder", thinking=Thinking(handover="paper"))
    silent = Thinking(show_handover=False)
    assert body("ponder", thinking=silent)["show_handover"] is False
    for dialect in rows.keys() - {"ponder"}:
        with pytest.raises(UserError, match="no such setting"):
            body(dialect, thinking=silent)


def test_grammars_and_tools() -> None:
    choice, regex = Grammar("choice", '["a", "b.c"]'), Grammar("regex", "x+")
    assert body("vllm", grammar=choice)["structured_outputs"] == {"choice": ["a", "b.c"]}
    assert body("vllm", grammar=regex)["structured_outputs"] == {"regex": "x+"}
    assert body("sglang", grammar=choice)["regex"] == r"a|b\.c"
    assert body("llama.cpp", grammar=choice)["grammar"] == 'root ::= "a" | "b.c"'
    schema = Grammar("json_schema", '{"type": "object"}')
    for dialect in DIALECTS:
        form = body(dialect, grammar=schema)["response_format"]
        assert form["json_schema"]["schema"] == {"type": "object"} and form["type"] == "json_schema"
        assert body(dialect, grammar=Grammar("json_object"))["response_format"] == {"type": "json_object"}
        with pytest.raises(UserError, match="lark"):
            body(dialect, grammar=Grammar("lark", "start: /a/"))
        named = {"tools": (TOOL,), "tool_choice": "f"}
        if dialect in ("llama.cpp", "ollama"):
            with pytest.raises(UserError, match="tool_choice"):
                body(dialect, **named)
        else:
            assert body(dialect, **named)["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body("vllm", tools=(TOOL,))["tools"] == [TOOL] == body("vllm", tools=(TOOL["function"],))["tools"]
    with pytest.raises(UserError, match="no tools"):
        body("vllm", tool_choice="required")


def test_history_and_messages() -> None:
    said = Message.assistant("", reasoning="hm", tool_calls=(ToolCall("f", '{"x": 1}'),), ids=(1, 2))
    talk = (*USER, said, Message.tool("3"))
    sent = body("vllm", messages=talk)["messages"]
    assert sent[1]["reasoning"] == sent[1]["reasoning_content"] == "hm" and "ids" not in sent[1]
    assert sent[1]["tool_calls"][0]["id"] and sent[1]["tool_calls"][0]["function"]["arguments"] == '{"x": 1}'
    assert "reasoning" not in json.dumps(body("openai", messages=talk))
    assert body("ponder", history="keep")["preserve_thinking"] == "all"
    assert "template" in warnings("vllm", history="keep")[0]
    assert "<|im_end|>" in warnings("vllm", messages=(Message.user("a<|im_end|>b"),))[0]
    assert warnings("vllm", sampling=SamplingParams(stop=("x",))) and not warnings(
        "ponder", sampling=SamplingParams(stop=("x",))
    )


def test_raw_prompts() -> None:
    def sent(dialect: str, prompt: str | list[int], **more: Any) -> dict[str, Any]:
        thinking = more.pop("thinking", Thinking())
        sampling = more.pop("sampling", SamplingParams(logprobs=1))
        out = completion_body(
            prompt, sampling, thinking, more.pop("grammar", None), "m", DIALECTS[dialect],
            allow_control=more.pop("allow", False),
        )  # fmt: skip
        return out.body

    assert "response_format" in sent("vllm", "x", grammar=Grammar("json_object"))
    assert sent("vllm", [1, 2])["prompt"] == [1, 2] and sent("vllm", "x")["logprobs"] == 1
    assert sent("ponder", "<|im_end|>")["allow_special_tokens"] is False
    assert sent("vllm", "<|im_end|>", allow=True)["prompt"] == "<|im_end|>"
    for dialect, prompt, more in (
        ("vllm", "<|im_end|>", {}), ("sglang", "x", {"grammar": Grammar("json_object")}),
        ("openai", [1], {}), ("vllm", "x", {"thinking": Thinking(budget=3)})
    ):  # fmt: skip
        with pytest.raises(UserError):
            sent(dialect, prompt, **more)


def test_servers_say_who_they_are() -> None:
    names = {"ponder": "ponder", "vllm": "vllm", "sglang": "sglang", "llamacpp": "llama.cpp", "library": "ollama"}
    assert all(dialect_of(owner).name == name for owner, name in names.items())
    assert dialect_of("system").name == "openai"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_calls_are_held_to_goes_along_or_is_told(dialect: str) -> None:
    """A tool's `strict` is sent as it is; `tool_in_thinking` is ours alone."""
    tool = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]
    assert body(dialect, tools=(tool,))["tools"] == [tool]
    told = "strict" in str(warnings(dialect, tools=(tool,)))
    assert told == (dialect not in ("ponder", "openai")) and "strict" not in str(warnings(dialect, tools=(TOOL,)))
    for wish in ("text", "close"):
        thinking = Thinking(tool_in_thinking=wish)  # type: ignore[arg-type]
        if dialect == "ponder":
            assert body(dialect, thinking=thinking)["tool_in_thinking"] == wish
        elif wish == "text":
            assert body(dialect, thinking=thinking) == body(dialect)
        else:
            with pytest.raises(UserError, match=f"tool_in_thinking: {dialect}"):
                body(dialect, thinking=thinking)
