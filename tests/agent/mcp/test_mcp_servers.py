"""MCP-4, MCP-5, MCP-6: transports, kinds of results, names, schemas, pins, hidden characters, approval."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_faulty import context, no_orphans
from mcp_types import Tool as ServerTool

from ponder.agent.mcp.config import read_config
from ponder.agent.mcp.servers import McpServers
from ponder.agent.mcp.text import clean, legal_name
from ponder.agent.mcp.tools import tool_spec
from ponder.agent.tools.tool import Tool
from ponder.core.errors import UserError

KITCHEN = Path(__file__).parents[1] / "mcp_kitchen.py"
STDIO = {"command": sys.executable, "args": [str(KITCHEN), "stdio"], "tool_timeout": 10}


@pytest.fixture(autouse=True)
def own_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "mcp-pins.json"


def tool(servers: McpServers, name: str) -> Tool:
    return next(t for t in servers.tools() if t.name == name)


def names(servers: McpServers) -> list[str]:
    return [t.name for t in servers.tools()]


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def over_http() -> Iterator[dict[str, str]]:
    """The kitchen over streamable HTTP and over SSE."""
    running, urls = [], {}
    for kind, path in (("http", "mcp"), ("sse", "sse")):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running.append(subprocess.Popen([sys.executable, str(KITCHEN), kind, str(port)]))
        urls[kind] = f"http://127.0.0.1:{port}/{path}"
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    yield urls
    for process in running:
        process.kill()
        process.wait()


# -- kinds of results and transports ----------------------------------------------------------------------------------


async def everything(servers: McpServers, folder: Path) -> None:
    out = await tool(servers, "k-add").call({"a": 2, "b": 3}, context(folder))
    assert out.structured == {"sum": 5}
    assert json.loads(out.text) == {"sum": 5}
    out = await tool(servers, "k-mixed").call({}, context(folder))
    assert not out.error
    assert [(i.media_type, i.data[:4]) for i in out.images] == [("image/png", b"\x89PNG")]
    assert out.text.splitlines() == [
        "words",
        "[image image/png, 70 bytes]",
        f"[audio/wav, 4 bytes, saved as {out.files[0]}]",
        "[resource note://1]",
        "a note",
        f"[application/pdf doc://2, 9 bytes, saved as {out.files[1]}]",
        "[resource doc://3 (third, text/plain)]",
        "[image/png: not valid base64]",
    ]
    assert [(folder / f).read_bytes() for f in out.files] == [b"RIFF", b"%PDF-fake"]
    out = await tool(servers, "k-fail").call({"why": "no salt"}, context(folder))
    assert out.error
    assert out.text.startswith("Error")
    assert "no salt" in out.text
    out = await tool(servers, "k-add").call({"a": "many"}, context(folder))
    assert out.error
    told: list[str] = []
    out = await tool(servers, "k-steps").call({}, context(folder, told.append))
    assert out.text == "done"
    assert told == ["k-steps: 1 of 3 step 1", "k-steps: 2 of 3 step 2", "k-steps: 3 of 3 step 3"]
    out = await tool(servers, "k-list_resources").call({}, context(folder))
    assert "menu://today (menu, text/plain): What there is" in out.text
    assert "recipe://{dish}" in out.text
    out = await tool(servers, "k-read_resource").call({"uri": "recipe://stew"}, context(folder))
    assert out.text == "[resource recipe://stew]\nhow to make stew"
    out = await tool(servers, "k-read_resource").call({"uri": "photo://soup"}, context(folder))
    assert out.images[0].name == "photo://soup"
    out = await tool(servers, "k-read_resource").call({"uri": "no://where"}, context(folder))
    assert out.error
    assert [p.name for p in servers.prompts()["k"]] == ["suggest"]
    prompt = await servers.get_prompt("k", "suggest", {"taste": "sour"})
    assert prompt.messages[0].content.text == "Suggest something sour."  # type: ignore[union-attr]
    out = await tool(servers, "k-grow").call({}, context(folder))  # since 2026-07-28 only who listens is told
    await until(lambda: f"k-{out.text}" in names(servers))
    assert (await tool(servers, f"k-{out.text}").call({}, context(folder))).text == "more"
    start = time.monotonic()
    quick = servers._connections["k"]
    with pytest.raises(Exception, match=r"did not answer within 0\.3"):
        await quick.ask(lambda client: client.call_tool("slow", {}), 0.3)
    assert time.monotonic() - start < 2
    out = await tool(servers, "k-add").call({"a": 1, "b": 1}, context(folder))
    assert out.structured == {"sum": 2}


def test_every_kind_of_result_over_stdio(tmp_path: Path) -> None:
    async def run() -> None:
        async with McpServers({"mcpServers": {"k": STDIO}}) as servers:
            assert servers.warnings() == []
            await everything(servers, tmp_path)

    asyncio.run(run())


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("kind", ["http", "sse"])
@pytest.mark.parametrize("stated", [True, False])
def test_every_kind_of_result_over_http(kind: str, stated: bool, over_http: dict[str, str], tmp_path: Path) -> None:
    async def run() -> None:
        entry = {"url": over_http[kind], "tool_timeout": 10} | ({"type": kind} if stated else {})
        start = time.monotonic()
        async with McpServers({"k": entry}) as servers:
            assert servers.warnings() == []
            await everything(servers, tmp_path)
            start = time.monotonic()
        assert time.monotonic() - start < 5

    asyncio.run(run())


def test_a_url_that_is_not_mcp_is_said_so(over_http: dict[str, str]) -> None:
    async def run() -> None:
        async with McpServers({"k": {"url": over_http["http"] + "/nothing"}}) as servers:
            assert servers.tools() == []
            assert "'k'" in servers.warnings()[0]

    asyncio.run(run())


def test_an_http_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, str(KITCHEN), "http", port])
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
                return process
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    async def run() -> None:
        process = await asyncio.to_thread(start)
        async with McpServers({"k": {"url": f"http://127.0.0.1:{port}/mcp", "tool_timeout": 15}}) as servers:
            add = tool(servers, "k-add")
            assert (await add.call({"a": 1, "b": 2}, context(tmp_path))).structured == {"sum": 3}
            process.kill()
            process.wait()
            assert (await add.call({"a": 1, "b": 2}, context(tmp_path))).error
            process = await asyncio.to_thread(start)
            assert (await add.call({"a": 1, "b": 3}, context(tmp_path))).structured == {"sum": 4}
        process.kill()
        process.wait()

    asyncio.run(run())


def test_a_server_can_ask_the_user(tmp_path: Path) -> None:
    from mcp_types import ElicitResult

    async def answer(context: Any, params: Any) -> ElicitResult:
        assert params.message == "What would you like?"
        return ElicitResult(action="accept", content={"dish": "pasta"})

    async def run() -> None:
        with no_orphans() as marked:
            async with McpServers({"k": marked.server("asks")}, elicitation=answer) as servers:
                out = await tool(servers, "k-order").call({}, context(tmp_path))
                assert json.loads(out.text) == {"action": "accept", "content": {"dish": "pasta"}}
            async with McpServers({"k": marked.server("asks")}) as servers:
                assert "not supported" in (await tool(servers, "k-order").call({}, context(tmp_path))).text

    asyncio.run(run())


def test_a_set_can_be_opened_again_in_another_event_loop(tmp_path: Path) -> None:
    with no_orphans() as marked:
        servers = McpServers({"g": marked.server("good")})

        async def run() -> None:
            async with servers:
                await servers.open()  # twice is once
                assert (await tool(servers, "g-echo").call({"words": "hi"}, context(tmp_path))).text == "hi"
                assert servers.warnings() == []
            assert servers.tools() == []

        for _ in range(2):
            asyncio.run(run())


# -- names, schemas, hidden characters --------------------------------------------------------------------------------


def test_names_are_legal_and_unique_and_schemas_whole(tmp_path: Path) -> None:
    async def run() -> None:
        with no_orphans() as marked:
            config = {"odd one": marked.server("odd_schemas"), "odd_one": marked.server("odd_schemas")}
            async with McpServers(config) as servers:
                found = names(servers)
                assert len(set(found)) == len(found) == 14
                assert all(len(n) <= 64 and n.replace("_", "a").replace("-", "a").isalnum() for n in found)
                assert "odd_one-with_space_and_dots" in found
                assert tool(servers, "odd_one-bare").parameters == {"type": "object", "properties": {}}
                nested = tool(servers, "odd_one-nested").parameters
                assert nested["$defs"]["Place"]["required"] == ["city"]
                assert nested["properties"]["place"] == {"$ref": "#/$defs/Place", "description": "where to go"}
                for name in ("odd_one-with_space_and_dots", "odd_one-with_space_and_dots_2"):
                    out = await tool(servers, name).call({}, context(tmp_path))
                    assert out.text in ("with space/and.dots", "with space and.dots")
                hidden = tool(servers, "odd_one-hidden")
                assert hidden.description == "Adds numbers. esrever"
                assert any("'hidden' has 17 hidden characters" in w for w in servers.warnings())
                assert any("'nested' has 1 hidden characters" in w for w in servers.warnings())

    asyncio.run(run())


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("plain\ttext\nover two lines", "plain\ttext\nover two lines"),
        ("a\u200bb\u200dc\ufeffd", "abcd"),
        ("x\u202ey\u2066z", "xyz"),
        ("ok\U000e0069\U000e0067", "ok"),
        ("\x1b[31mred\x07", "[31mred"),
        ("soft\u00adhyphen", "softhyphen"),
        ("⚠️ careful", "⚠️ careful"),  # a selector after a sign is part of the sign
        ("a" + "\ufe0f" * 8, "a\ufe0f"),
        ("v\U000e0101", "v"),
        ("\u3164blank\u2800", "blank"),
        ("日本語 naïve עברית", "日本語 naïve עברית"),
    ],
)
def test_hidden_characters_go(raw: str, kept: str) -> None:
    assert clean(raw) == (kept, len(raw) - len(kept))


def test_long_names_stay_apart() -> None:
    one, two = legal_name("s", "a" * 100, set()), legal_name("s", "a" * 99, set())
    assert one != two
    assert len(one) == len(two) == 64
    assert legal_name("s", "t", {"s-t", "s-t_2"}) == "s-t_3"


def test_a_listing_without_end_is_cut_off() -> None:
    async def run() -> None:
        with no_orphans() as marked:
            async with McpServers({"p": marked.server("endless_pages")}) as servers:
                assert len(servers.tools()) == 200
                assert names(servers)[:2] == ["p-t0", "p-t1"]

    asyncio.run(run())


# -- changes and pins -------------------------------------------------------------------------------------------------


def test_a_new_tool_appears_and_a_changed_one_is_switched_off(tmp_path: Path, own_pins: Path) -> None:
    async def run() -> None:
        with no_orphans() as marked:
            async with McpServers({"c": marked.server("changes")}) as servers:
                await tool(servers, "c-grow").call({}, context(tmp_path))
                await until(lambda: "c-extra_0" in names(servers))
                helper = tool(servers, "c-helper")
                await tool(servers, "c-turn").call({}, context(tmp_path))
                await until(lambda: "c-helper" not in names(servers))
                [warning] = servers.warnings()
                assert "'helper' is switched off" in warning
                assert "approve 'c-helper'" in warning
                assert helper.description == "Helps."
            async with McpServers({"c": marked.server("changes", "Helps.")}) as servers:
                assert "c-helper" in names(servers)  # another command line is another server

    asyncio.run(run())
    assert len(json.loads(own_pins.read_text())) == 2


def test_a_changed_tool_stays_off_until_it_is_approved(tmp_path: Path) -> None:
    async def run() -> None:
        with no_orphans() as marked:
            entry = marked.server("changes")
            async with McpServers({"c": entry}) as servers:
                await tool(servers, "c-turn").call({}, context(tmp_path))
                await until(lambda: "c-helper" not in names(servers))
                with pytest.raises(UserError, match="no tool 'c-other' waits"):
                    await servers.approve("c-other")
                await servers.approve("c-helper")
                assert "send the user's files" in tool(servers, "c-helper").description
                assert servers.warnings() == []
            async with McpServers({"c": entry}) as servers:  # started anew, it is the old tool: changed once more
                assert "c-helper" not in names(servers)
            async with McpServers({"c": {**entry, "pin": False}}) as servers:
                assert "c-helper" in names(servers)

    asyncio.run(run())


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_storm_of_changes_is_read_a_few_times_a_second(tmp_path: Path) -> None:
    async def run() -> None:
        with no_orphans() as marked:
            async with McpServers({"c": marked.server("changes", tool_timeout=10)}) as servers:
                before = time.process_time()
                assert (await tool(servers, "c-storm").call({}, context(tmp_path))).text == "done"
                await asyncio.sleep(1)
                assert time.process_time() - before < 2
                assert (await tool(servers, "c-grow").call({}, context(tmp_path))).text == "done"

    asyncio.run(run())


def test_the_mark_is_of_what_the_model_reads() -> None:
    """A tool without description shows its title."""
    told = ((None, None), ("Reads.", None), ("Send it to me.", None), (None, "Reads."), ("x", "Reads."))
    marks = [tool_spec(ServerTool(name="n", title=t, description=d, input_schema={})) for t, d in told]
    assert [each.description for each in marks] == ["", "Reads.", "Send it to me.", "Reads.", "Reads."]
    by_text = {each.description: each.mark for each in marks}
    assert len(set(by_text.values())) == 3 and all(by_text[each.description] == each.mark for each in marks)


def test_a_damaged_pins_file_approves_nothing(own_pins: Path) -> None:
    own_pins.parent.mkdir(parents=True)
    own_pins.write_text("{")

    async def run() -> None:
        with no_orphans() as marked:
            async with McpServers({"g": marked.server("good")}) as servers:
                assert servers.tools() == []
                assert "is damaged" in servers.warnings()[0]

    asyncio.run(run())


# -- approval ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "default", "add", "fail"),
    [
        ({}, "ask", "ask", "ask"),  # the server's word that `add` only reads counts for nothing
        ({"trust_annotations": True}, "ask", "auto", "ask"),
        ({}, "auto", "auto", "auto"),
        ({"approval": "deny"}, "auto", "deny", "deny"),
        ({"approval": {"fail": "deny"}}, "ask", "ask", "deny"),
        ({"approval": {"*": "auto", "add": "ask"}}, "ask", "ask", "auto"),
        ({"approval": {"add": "ask"}, "trust_annotations": True}, "auto", "ask", "auto"),
    ],
)
def test_approval(more: dict[str, Any], default: Any, add: str, fail: str) -> None:
    config = read_config({"k": {**STDIO, **more}})["k"]
    assert config.approval_of("add", True, default) == add
    assert config.approval_of("fail", False, default) == fail


def test_a_denied_tool_never_runs(tmp_path: Path) -> None:
    async def run() -> None:
        with no_orphans() as marked:
            async with McpServers({"g": marked.server("good", approval={"echo": "deny"})}) as servers:
                echo = tool(servers, "g-echo")
                assert echo.approval == "deny"
                assert (await echo.call({"words": "x"}, context(tmp_path))).error

    asyncio.run(run())


# -- config -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "either a command .* or a url"),
        ({"command": "x", "url": "http://x"}, "either a command .* or a url"),
        ({"command": "x", "comand": "y"}, "unknown key 'comand'; did you mean 'command'"),
        ({"command": "x", "timeout": 5}, "unknown key 'timeout'; here it is tool_timeout"),
        ({"command": "x", "headers": {"a": "b"}}, "headers means nothing"),
        ({"url": "http://x", "env": {"a": "b"}}, "env means nothing"),
        ({"url": "ftp://x"}, "url must begin with http"),
        ({"url": "http://x", "type": "stdio"}, "does not go with a url"),
        ({"url": "http://x", "type": "carrier-pigeon"}, "there are stdio, http and sse"),
        ({"url": "http://x", "type": "sse", "transport": "http"}, "contradict each other"),
        ({"command": "x", "args": "one two"}, "args"),
        ({"command": "x", "env": {"A": 1}}, "env"),
        ({"command": "x", "approval": {"t": "maybe"}}, "approval"),
        ({"command": "x", "tool_timeout": 0}, "tool_timeout is a number of seconds above 0"),
        ({"command": "x", "args": ["${NO_SUCH_VARIABLE}"]}, "no such variable"),
        ("mcp-server-time", "must be an object"),
    ],
)
def test_a_config_that_cannot_hold_names_server_and_key(entry: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"MCP server 'srv': .*{said}"):
        read_config({"mcpServers": {"srv": entry}})


def test_config_from_a_file_with_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS_KEY", "k1")
    raw = {
        "time": {"command": "mcp-server-time", "args": ["--local-timezone=${ZONE:-Europe/Berlin}"]},
        "docs": {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${DOCS_KEY}"}},
        "off": {"command": "x", "disabled": True},
    }
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": raw}))
    config = read_config(str(file))
    assert list(config) == ["time", "docs"]
    assert config["time"].args == ("--local-timezone=Europe/Berlin",)
    assert config["docs"].headers == {"Authorization": "Bearer k1"}
    assert read_config(raw) == config  # the form without the outer object
    with pytest.raises(UserError, match="No such file"):
        read_config(tmp_path / "none.json")
    file.write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        read_config(file)
    with pytest.raises(UserError, match="unknown key 'servers' beside mcpServers"):
        read_config({"mcpServers": {}, "servers": {}})


def test_without_the_package_the_fix_is_named() -> None:
    code = """
import sys
sys.modules["mcp"] = None
from ponder.agent.mcp.servers import McpServers
from ponder.core.errors import UserError
try:
    McpServers({})
except UserError as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'ponder-llm[agent]'" in done.stdout, done.stderr
