"""Replies of /v1/responses that are kept: gone on from, looked up and forgotten by the official client."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.server.api.openai.response_store import ResponseStore
from ponder.server.config import ServerConfig
from ponder.server.database import Database

CALL = '<think>\nI add.\n</think>\n\n<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
PLAIN = "<think>\nLet me see.\n</think>\n\nGrüße 👋🏽!"
TOOL: Any = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("s")
    (folder / "plain.jsonl").write_text((json.dumps(PLAIN) + "\n") * 40)
    slow = {"text": "<think>\n" + " ".join(map(str, range(500))), "delay_ms": 20, "eos": False}
    (folder / "slow.jsonl").write_text(json.dumps(slow))
    (folder / "call.jsonl").write_text((json.dumps(CALL) + "\n") * 40)
    return folder


@pytest.fixture(scope="module")
def base(script: Path) -> Iterator[str]:
    with server({n: partial(LLM, f"scripted:{script}/{n}.jsonl") for n in ("plain", "call", "slow")}) as url:
        yield url


@pytest.fixture(scope="module")
def client(base: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)


def prompt_tokens(reply: Any) -> int:
    return int(reply.usage.input_tokens)


def test_a_later_request_goes_on_from_a_reply(client: openai.OpenAI) -> None:
    """The prompt is the one that has all items in its input: the same length, to the token."""
    ask = partial(client.responses.create, model="plain")
    first = ask(input="My name is Ada.", instructions="Be brief.")
    second = ask(input="What is it?", previous_response_id=first.id, instructions="Be brief.")
    third = ask(input=[{"role": "user", "content": "Sure?"}], previous_response_id=second.id)
    items: list[Any] = [{"role": "user", "content": "My name is Ada."}]
    for reply, question in ((first, "What is it?"), (second, "Sure?")):
        items += [*(i.model_dump() for i in reply.output), {"role": "user", "content": question}]
        by_hand = ask(input=items, instructions="Be brief." if reply is first else None, store=False)
        by_id = second if reply is first else third  # instructions are not carried over
        assert prompt_tokens(by_id) == prompt_tokens(by_hand) > prompt_tokens(first) - 5
    assert (second.previous_response_id, second.store, by_hand.store) == (first.id, True, False)


def test_a_tool_loop_sends_only_what_is_new(client: openai.OpenAI) -> None:
    with client.responses.stream(model="call", input="2 + ?", tools=[TOOL]) as stream:
        first = stream.until_done().get_final_response()
    call = next(i for i in first.output if i.type == "function_call")
    told: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "4"}]
    second = client.responses.create(model="plain", input=told, previous_response_id=first.id, tools=[TOOL])
    assert second.output_text == "Grüße 👋🏽!" and prompt_tokens(second) > prompt_tokens(first) + 10
    assert [i.id for i in client.responses.retrieve(first.id).output] == [i.id for i in first.output]
    assert [i.type for i in client.responses.input_items.list(second.id)] == ["function_call_output"]
    forked = client.responses.create(model="plain", input=told, previous_response_id=first.id, tools=[TOOL])
    assert prompt_tokens(forked) == prompt_tokens(second), "a reply may be continued twice"


def test_items_are_referred_to(client: openai.OpenAI) -> None:
    first = client.responses.create(model="plain", input="Hi")
    references: Any = [{"type": "item_reference", "id": i.id} for i in first.output]
    items: Any = [{"role": "user", "content": "Hi"}, *references, {"role": "user", "content": "And?"}]
    second = client.responses.create(model="plain", input=items)
    assert prompt_tokens(second) == prompt_tokens(
        client.responses.create(model="plain", input="And?", previous_response_id=first.id)
    )
    assert {i.id for i in client.responses.input_items.list(second.id)} > {i.id for i in first.output}
    for id_ in ("msg_abc_0", f"{first.output[0].id}9", "x", ""):
        with pytest.raises(openai.NotFoundError, match="no item") as error:
            client.responses.create(model="plain", input=[{"type": "item_reference", "id": id_}])
        assert error.value.param == "input"


def test_replies_are_looked_up_and_forgotten(client: openai.OpenAI, base: str) -> None:
    first = client.responses.create(model="plain", input="Hi", metadata={"a": "b"})
    second = client.responses.create(model="plain", input="More", previous_response_id=first.id)
    assert client.responses.retrieve(first.id) == first
    client.responses.delete(first.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match=first.id):
            call(first.id)
    assert client.responses.retrieve(second.id) == second
    with pytest.raises(openai.NotFoundError, match=f"{first.id}.*{second.id} continues it") as error:
        client.responses.create(model="plain", input="?", previous_response_id=second.id)
    assert (error.value.code, error.value.param) == ("previous_response_not_found", "previous_response_id")
    unkept = client.responses.create(model="plain", input="Hi", store=False)
    for id_ in (unkept.id, "resp_1", "", "x' OR 1=1 --"):
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="plain", input="?", previous_response_id=id_)
    assert httpx.get(f"{base}/v1/responses/{second.id}?stream=true").json()["error"]["param"] == "stream"
    assert httpx.put(f"{base}/v1/responses/{second.id}").status_code == 405


def test_input_items_come_in_pages(client: openai.OpenAI, base: str) -> None:
    items: list[Any] = [{"role": "user", "content": f"n{n}"} for n in range(25)]
    items[3] = {"role": "user", "content": [{"type": "input_text", "text": "n3"}], "id": "mine"}
    reply = client.responses.create(model="plain", input=items)
    pages = partial(client.responses.input_items.list, reply.id)
    texts: Any = [i.content[0].text for i in pages(limit=7)]  # the client asks for page after page
    assert texts == [f"n{n}" for n in range(24, -1, -1)]
    forth: Any = [i.content[0].text for i in pages(order="asc", limit=100)]
    assert forth == texts[::-1] and pages(order="asc", limit=4).data[3].id == "mine"
    assert pages().has_more and len(pages().data) == 20
    for query in ("limit=0", "limit=101", "limit=x", "limit=²", "order=up", "after=nowhere"):
        told = httpx.get(f"{base}/v1/responses/{reply.id}/input_items?{query}")
        assert told.status_code == 400 and told.json()["error"]["param"] == query.partition("=")[0]


def test_what_broke_off_is_not_kept(base: str, client: openai.OpenAI) -> None:
    body = {"model": "slow", "input": "hi", "stream": True}
    with httpx.stream("POST", base + "/v1/responses", json=body) as stream:
        first = next(line for line in stream.iter_lines() if line.startswith("data: "))
    id_ = json.loads(first[6:])["response"]["id"]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(id_)
    cut = client.responses.create(model="plain", input="hi", max_output_tokens=2)
    assert client.responses.retrieve(cut.id).status == "incomplete"


def test_they_outlive_the_server_and_belong_to_a_key(script: Path, tmp_path: Path) -> None:
    models = {"plain": partial(LLM, f"scripted:{script}/plain.jsonl")}
    store, config = tmp_path / "chat.sqlite", ServerConfig(api_keys=("one", "two"))
    with server(models, config, store=store) as base:
        reply = openai.OpenAI(base_url=base + "/v1", api_key="one").responses.create(model="plain", input="hi")
    with server(models, config, store=store) as base:
        one, two = (openai.OpenAI(base_url=base + "/v1", api_key=key) for key in ("one", "two"))
        assert one.responses.retrieve(reply.id) == reply
        for call in (two.responses.retrieve, two.responses.delete):
            with pytest.raises(openai.NotFoundError):
                call(reply.id)
        assert one.responses.create(model="plain", input="x", previous_response_id=reply.id).store
    assert b"one" not in Path(store).read_bytes(), "the key itself is not written down"


def test_none_are_kept_where_none_may(script: Path, tmp_path: Path) -> None:
    models = {"plain": partial(LLM, f"scripted:{script}/plain.jsonl")}
    with server(models, ServerConfig(keep_responses=0), store=tmp_path / "c.sqlite") as base:
        client = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
        quiet, asked = (client.responses.create(model="plain", input="hi", store=store) for store in (None, True))
        assert not quiet.store and not asked.store
        assert "store" in asked.model_extra["warnings"][0] and "warnings" not in quiet.model_extra
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(asked.id)


def a_reply(id_: str, previous: str | None = None, text: str = "x" * 1000) -> dict[str, Any]:
    return {"id": id_, "previous_response_id": previous, "output": [{"id": f"msg_{id_[5:]}_0", "text": text}]}


def test_the_bound_takes_those_that_nobody_goes_on_from(tmp_path: Path) -> None:
    kept = ResponseStore(tmp_path / "c.sqlite", 12_000)
    kept.put(a_reply("resp_a"), [])
    kept.put(a_reply("resp_b", "resp_a"), [])
    for n in range(40):
        kept.history("resp_b")  # used: so is what it continues
        kept.put(a_reply(f"resp_{n}"), [{"id": "i", "text": "你" * 20}])
    assert len(kept.history("resp_b")) == 2
    there = [n for n in range(40) if _there(kept, f"resp_{n}")]
    assert there == list(range(40 - len(there), 40)) and 5 < len(there) < 12
    assert not kept.put(a_reply("resp_huge", text="x" * 20_000), []), "more than all may take"
    assert not _there(kept, "resp_huge") and _there(kept, "resp_b")
    kept.close()


def _there(kept: ResponseStore, id_: str) -> bool:
    try:
        kept.get(id_)
    except Exception as error:
        assert getattr(error, "status", None) == 404
        return False
    return True


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "c.sqlite", "").close()
    newer = Database(tmp_path / "c.sqlite", "")
    with newer.writing() as db:
        db.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(Exception, match="newer Ponder"):
        ResponseStore(tmp_path / "c.sqlite", 1)
