"""Every spelling of the thinking switch on every API, down to the prompt's ids (TH-1); what contradicts (TH-2); models
that cannot switch (TH-4); who decides when several do (TH-5); fields nobody knows (TH-6); ceilings (TB-6)."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.core.params import Thinking
from ponder.core.request import ChatRequest
from ponder.engine.decoding.settings import Ceiling
from ponder.engine.llm import LLM
from ponder.engine.scheduling.handle import Handle
from ponder.server.config import ServerConfig

ON, OFF = (151644, 77091, 198), (151644, 77091, 198, 151667, 271, 151668, 271)
HI = [{"role": "user", "content": "hi"}]
APIS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": HI, "max_tokens": 4000},
    "/api/chat": {"messages": HI, "stream": False},
    "/api/generate": {"prompt": "hi", "stream": False},
}
SPELLINGS: list[tuple[dict[str, Any], bool, int | None]] = [  # fields, on, budget
    ({"enable_thinking": False}, False, None),
    ({"enable_thinking": True}, True, None),
    ({"think": False}, False, None),
    ({"think": True}, True, None),
    ({"think": "low"}, True, 1024),
    ({"chat_template_kwargs": {"enable_thinking": False}}, False, None),
    ({"chat_template_kwargs": {"enable_thinking": True}}, True, None),
    ({"thinking": {"type": "disabled"}}, False, None),
    ({"thinking": {"type": "enabled", "budget_tokens": 7}}, True, 7),
    ({"reasoning": {"effort": "none"}}, False, None),
    ({"reasoning": {"effort": "medium", "summary": "auto"}}, True, 4096),
    *(({"reasoning_effort": word}, False, None) for word in ("none", "minimal")),
    *(({"reasoning_effort": w}, True, n) for w, n in (("low", 1024), ("medium", 4096), ("high", 16384), ("max", None))),
    *(({name: 9}, True, 9) for name in ("thinking_budget", "thinking_token_budget", "thinking_budget_tokens")),
    ({}, True, None),
]


class Watched(LLM):
    """A model that remembers what it was asked: the prompt's ids and what was settled."""

    def stream(self, request: ChatRequest) -> Handle:
        handle = super().stream(request)
        self.prompt = handle.prompt_ids()
        return handle


def script(folder: Path, *lines: Any) -> str:
    path = folder / f"{len(list(folder.iterdir()))}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"scripted:{path}"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], LLM]]:
    folder = tmp_path_factory.mktemp("scripts")
    reply, plain = "<think>\nWell.\n</think>\n\nHello.", "Hello."
    endless = {"text": "<think>\nHm, hm.", "eos": False, "answer": "So."}
    return {
        "hybrid": partial(Watched, script(folder, reply)),
        "endless": partial(LLM, script(folder, endless)),  # asked once: its hand-overs are counted
        "handed over": partial(LLM, script(folder, endless)),
        "thinking": partial(LLM, script(folder, {"model": {"capability": "thinking"}}, reply)),
        "instruct": partial(LLM, script(folder, {"model": {"capability": "instruct"}}, plain)),
        "base": partial(LLM, script(folder, {"model": {"capability": "base"}}, plain)),
        "capped": partial(LLM, script(folder, reply), ceiling=Ceiling(budget=3, max_tokens=400)),
    }


@pytest.fixture(scope="module")
def opened(models: dict[str, Callable[[], LLM]]) -> dict[str, LLM]:
    return {name: opener() for name, opener in models.items()}


@pytest.fixture(scope="module")
def url(opened: dict[str, LLM]) -> Iterator[str]:
    with server({name: (lambda llm=llm: llm) for name, llm in opened.items()}) as base:  # type: ignore[misc]
        yield base


def ask(url: str, api: str, model: str = "hybrid", **fields: Any) -> httpx.Response:
    return httpx.post(url + api, json={"model": model} | APIS[api] | fields, timeout=60)


@pytest.mark.parametrize("api", APIS)
def test_every_spelling_renders_the_same_prompt_on_every_api(url: str, opened: dict[str, LLM], api: str) -> None:
    """TH-1: the off prompt closes an empty block, the on prompt leaves it to the model."""
    watched = opened["hybrid"]
    assert isinstance(watched, Watched)
    for fields, on, budget in SPELLINGS:
        reply = ask(url, api, **fields)
        assert reply.status_code == 200, reply.text
        body = reply.json()
        assert watched.prompt[-len(OFF if not on else ON) :] == (ON if on else OFF), fields
        assert on or watched.prompt[-3:] != ON, fields
        assert (body["effective"]["thinking"], body["effective"]["budget"]) == (on, budget), fields
        assert "warnings" not in body, body


@pytest.mark.parametrize("api", APIS)
def test_the_hand_over_shows_in_the_thoughts_unless_told_not_to(url: str, api: str) -> None:
    """TB-2."""
    for fields, shown in (({}, True), ({"show_handover": True}, True), ({"show_handover": False}, False)):
        reply = ask(url, api, "handed over", thinking_budget=2, **fields)
        assert ("Considering the limited time" in reply.text) == shown, reply.text
        assert "So." in reply.text and "warnings" not in reply.json()


@pytest.mark.parametrize("api", APIS)
def test_spellings_that_contradict_are_refused_by_both_names(url: str, api: str) -> None:
    """TH-2."""
    for fields in (
        {"enable_thinking": True, "reasoning_effort": "none"},
        {"think": False, "thinking": {"type": "enabled", "budget_tokens": 9}},
        {"thinking_budget": 5, "thinking_token_budget": 6},
        {"enable_thinking": False, "thinking_budget": 6},
    ):
        reply = ask(url, api, **fields)
        assert reply.status_code == 400 and all(name in reply.text for name in fields), reply.text


def test_a_model_that_cannot_switch_says_so_and_is_known_by_its_card(url: str) -> None:
    """TH-4."""
    for api in APIS:
        refused = ask(url, api, "thinking", enable_thinking=False)
        assert refused.status_code == 400 and "thinking_not_switchable" in refused.text and "qwen3:4b" in refused.text
        if api in ("/v1/chat/completions", "/v1/responses"):
            assert refused.json()["error"]["code"] == "thinking_not_switchable"
        for name in ("instruct", "base"):
            for fields in ({"enable_thinking": True}, {"thinking_budget": 9}):
                refused = ask(url, api, name, **fields)
                assert refused.status_code == 400 and "without thinking" in refused.text, refused.text
            assert ask(url, api, name, enable_thinking=False).status_code == 200
    cards = {card["id"]: card.get("capability") for card in httpx.get(url + "/v1/models").json()["data"]}
    assert {name: cards[name] for name in ("thinking", "instruct", "base")} == {
        name: name for name in ("thinking", "instruct", "base")
    }
    assert cards["hybrid"] == "hybrid"
    for name, thinks in (("hybrid", True), ("thinking", True), ("instruct", False)):
        shown = httpx.post(url + "/api/show", json={"model": name}).json()["capabilities"]
        assert ("thinking" in shown) == thinks


@pytest.mark.parametrize("api", APIS)
def test_an_effort_is_a_wish_that_a_model_may_be_unable_to_meet(url: str, api: str) -> None:
    """TH-4: agents send these to every model. The reply says what had no effect; a switch beside it must still hold."""
    on = [{"reasoning_effort": word} for word in ("low", "medium", "high", "xhigh", "max", "ultra")]
    on += [{"reasoning": {"effort": "medium", "summary": "auto"}}, {"think": "low"}]
    on += [{"thinking": {"type": "enabled", "budget_tokens": 9}}, {"thinking": {"type": "enabled"}}]
    on += [{"thinking": {"type": kind, "budget_tokens": 0}} for kind in ("adaptive", "auto")]
    off = [{"reasoning_effort": "none"}, {"reasoning_effort": "minimal"}, {"thinking": {"type": "disabled"}}]
    unsaid = [{"reasoning_effort": ""}, {"reasoning_effort": "default"}, {"think": ""}, {"reasoning": {"effort": ""}}]
    unsaid += [{"thinking": {"type": "adaptive"}}]
    for name, unmet, thinks in (("instruct", on, False), ("base", on, False), ("thinking", off, True)):
        for fields in (*on, *off, *unsaid):
            reply = ask(url, api, name, **fields)
            assert reply.status_code == 200, reply.text
            told = reply.json().get("warnings", [])
            assert len(told) == (fields in unmet), (name, fields, told)
            assert all("has no effect" in text and next(iter(fields)) in text for text in told), told
            assert reply.json()["effective"]["thinking"] is thinks
    for fields in ({"enable_thinking": True}, {"think": True}, {"thinking_budget": 9}):
        refused = ask(url, api, "instruct", reasoning_effort="low", **fields)
        assert refused.status_code == 400 and "without thinking" in refused.text, refused.text


def test_what_claude_code_sends_to_every_model(url: str) -> None:
    """Its effort says how much, `thinking` whether: off with an effort is no contradiction. Streamed, counted."""
    effort = {"output_config": {"effort": "high"}}
    for kind, holds in (("adaptive", 16384), ("enabled", 16384), ("disabled", None)):
        body = ask(url, "/v1/messages", thinking={"type": kind}, max_tokens=32000, **effort).json()
        assert (body["effective"]["thinking"], body["effective"]["budget"]) == (kind != "disabled", holds), body
        for model in ("instruct", "thinking", "hybrid"):
            asked = {"model": model, "messages": HI, "thinking": {"type": kind}} | effort
            counted = httpx.post(url + "/v1/messages/count_tokens", json=asked)
            assert counted.status_code == 200 and counted.json()["input_tokens"] > 0, counted.text
            streamed = httpx.post(url + "/v1/messages", json=asked | {"max_tokens": 400, "stream": True})
            assert "message_stop" in streamed.text, streamed.text
            told = (model, kind) in (("instruct", "adaptive"), ("instruct", "enabled"), ("thinking", "disabled"))
            assert ("has no effect" in streamed.text) is told, (model, kind)


def test_the_servers_budget_holds_where_a_wish_for_none_cannot(models: dict[str, Callable[[], LLM]]) -> None:
    with server({"thinking": models["thinking"]}, thinking=Thinking(budget=11)) as url:
        body = ask(url, "/v1/chat/completions", "thinking", reasoning_effort="none").json()
        assert (body["effective"]["thinking"], body["effective"]["budget"]) == (True, 11)


def test_the_request_comes_before_the_text_the_server_and_the_model(models: dict[str, Callable[[], LLM]]) -> None:
    """TH-5: the server's switch holds where a request says nothing, its budget also where one only asks for thoughts;
    what holds, and who said so, is in the reply and in /props."""
    soft = [{"role": "user", "content": "hi /think"}]
    with server(models, thinking=Thinking(enabled=False, budget=11)) as url:
        settled = {
            name: ask(url, "/v1/chat/completions", **fields).json()["effective"]
            for name, fields in {
                "nothing": {}, "text": {"messages": soft}, "on": {"enable_thinking": True},
                "budget": {"thinking_budget": 5},
            }.items()
        }  # fmt: skip
        told = {name: (e["thinking"], e["budget"], e["thinking_source"]) for name, e in settled.items()}
        assert told["nothing"] == (False, None, "request")
        assert told["on"] == (True, 11, "request")
        assert told["budget"] == (True, 5, "default")
        props = httpx.get(url + "/props").json()["thinking"]
        assert (props["enabled"], props["source"], props["budget"]) == (False, "server", 11)
        for name in ("instruct", "base", "thinking"):  # asked for nothing: the server's wish is not for them
            reply = ask(url, "/v1/chat/completions", name).json()
            assert reply["choices"][0]["message"]["content"] == "Hello.", reply


@pytest.mark.parametrize("api", APIS)
def test_an_unknown_field_is_told_or_refused(models: dict[str, Callable[[], LLM]], url: str, api: str) -> None:
    """TH-6."""
    assert "unknown field 'thinkink'" in str(ask(url, api, thinkink=True).json()["warnings"])
    with server({"hybrid": models["hybrid"]}, ServerConfig(strict=True)) as strict:
        reply = ask(strict, api, thinkink=True)
        assert reply.status_code == 400 and "thinkink" in reply.text


def test_the_smaller_of_ceiling_and_request_holds_and_is_counted(url: str) -> None:
    """TB-6, TB-5: in usage, as a flag, as a warning where a wish was lowered, and as a counter."""
    reply = ask(url, "/v1/chat/completions", "endless", thinking_budget=6).json()
    assert reply["thinking_truncated"] and reply["usage"]["completion_tokens_details"]["reasoning_tokens"] > 6
    assert reply["choices"][0]["message"]["content"] == "So."
    whole = ask(url, "/v1/chat/completions", thinking_budget=600).json()
    assert not whole["thinking_truncated"]
    for asked, holds in ((2, 2), (3, 3), (900, 3), (None, 3)):
        fields = {} if asked is None else {"thinking_budget": asked}
        reply = ask(url, "/v1/chat/completions", "capped", max_tokens=900, **fields).json()
        assert (reply["effective"]["budget"], reply["effective"]["max_tokens"]) == (holds, 400)
        assert any("budget lowered from 900 to 3" in w for w in reply["warnings"]) == (asked == 900)
    assert httpx.get(url + "/props?model=capped").json()["thinking"]["max_budget"] == 3
    metrics = httpx.get(url + "/metrics").text
    assert 'ponder_engine_handovers_total{model="endless"} 1.0' in metrics
