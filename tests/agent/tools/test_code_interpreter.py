"""The tools `code_interpreter` and `shell` as the loop calls them."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ponder.agent.tools.code_interpreter import CodeInterpreter, plain
from ponder.agent.tools.shell import Shell
from ponder.agent.tools.tool import Output, ToolContext
from ponder.core.errors import UserError
from ponder.sandbox.isolation import probe
from ponder.sandbox.limits import SandboxLimits

pytestmark = pytest.mark.skipif(probe()[0] is None, reason=" ".join(probe()[1]))


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[CodeInterpreter]:
    pytest.importorskip("ipykernel", reason="pip install 'ponder-llm[agent]'")
    interpreter = CodeInterpreter(**options)
    await interpreter.open()
    try:
        yield interpreter
    finally:
        await interpreter.close()
        await interpreter.close()


async def call(interpreter: CodeInterpreter, code: str, folder: Path, conversation: str = "one") -> Output:
    [tool] = interpreter.tools()
    return await tool.call({"code": code}, ToolContext(conversation, folder))


def test_a_conversation(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened() as interpreter:
            assert interpreter.tools()[0].schema()["function"]["name"] == "code_interpreter"
            assert interpreter.warnings() == ()
            first = await call(interpreter, "```python\nx = 6\nx * 7\n```", tmp_path)
            assert (first.text, first.error, first.files) == ("42", False, ())
            wrote = await call(interpreter, "open('t.txt', 'w').write('a\\nb\\n'); None", tmp_path)
            assert wrote.text == "[files: t.txt (added, 4 bytes)]" and wrote.files == ("t.txt",)
            assert "+a\n+b" in wrote.structured["changes"][0]["diff"]
            failed = await call(interpreter, "1 / 0", tmp_path)
            assert failed.error and failed.text.endswith("ZeroDivisionError: division by zero")
            silent = await call(interpreter, "y = 1", tmp_path)
            assert silent.text == "[no output]"
            readable = (
                "import os; os.listdir('/etc') and all(os.access(f'/etc/{n}', os.R_OK) for n in os.listdir('/etc'))"
            )
            assert (await call(interpreter, readable, tmp_path)).text == "True", "fonts, users: whoever started it"
            (tmp_path / "b").mkdir()
            other = await call(interpreter, "'x' in globals()", tmp_path / "b", "two")
            assert other.text == "False"

    asyncio.run(run())


def test_a_saved_picture_is_shown(tmp_path: Path) -> None:
    """What only calls itself a picture is not, nor is a link that leads out."""
    png = "b'\\x89PNG\\r\\n\\x1a\\n' + bytes(100)"
    code = (
        f"import os\nopen('plot.png', 'wb').write({png})\nopen('fake.png', 'w').write('hello')\n"
        "os.symlink('/etc/passwd', 'link.jpg')"
    )

    async def run() -> None:
        async with opened() as interpreter:
            output = await call(interpreter, code, tmp_path)
            assert [i.data[:4] for i in output.images] == [b"\x89PNG"] and "plot.png" in output.files
            assert not (await call(interpreter, "1", tmp_path)).images

    asyncio.run(run())


def test_an_error_is_short_and_says_what_to_do(tmp_path: Path) -> None:
    """A small model reads every line of it: no frames of libraries, and that the network is no use."""
    code = """import urllib.request, json
def load(text):
    return json.loads(text)
"""

    async def run() -> None:
        async with opened() as interpreter:
            await call(interpreter, code, tmp_path)
            failed = await call(interpreter, "load('{')", tmp_path)
            assert failed.text.count("  File ") == 3 and "decoder.py" in failed.text and "load(" in failed.text
            for url in ("http://127.0.0.1:80/", "http://example.org/"):
                offline = await call(interpreter, f"urllib.request.urlopen('{url}')", tmp_path)
                assert offline.error and "There is no network here" in offline.text
                assert len(offline.text) < 1500
            own = await call(interpreter, "open('nothing.txt')", tmp_path)
            assert "No such file" in own.text and "network" not in own.text and "holds no files" in own.text

    asyncio.run(run())


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_killed_kernel_is_replaced_and_this_is_said(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(timeout=1.0) as interpreter:
            await call(interpreter, "x = 1", tmp_path)
            begin = time.monotonic()
            lost = await call(
                interpreter, "import signal; signal.signal(2, signal.SIG_IGN)\nwhile True: pass", tmp_path
            )
            assert time.monotonic() - begin < 2.0
            assert lost.error and "the kernel was stopped: it ran longer than 1 s" in lost.text
            fresh = await call(interpreter, "'x' in globals()", tmp_path)
            assert fresh.text.startswith("False\n[fresh kernel: variables and imports of earlier calls were lost")
            assert not fresh.error
            assert (await call(interpreter, "1", tmp_path)).text == "1"
            slow = await call(interpreter, "z = 5\nwhile True: pass", tmp_path)
            assert slow.error and slow.text.endswith("[interrupted after 1 s; variables are still there]")
            assert (await call(interpreter, "z", tmp_path)).text == "5"

    asyncio.run(run())


def test_too_many_kernels_and_idle_ones_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(kernels=2) as interpreter:
            for name in "abc":
                (tmp_path / name).mkdir()
                await call(interpreter, f"x = {name!r}", tmp_path / name, name)
            alive = [name for name, c in interpreter.conversations.items() if c.kernel is not None]
            assert alive == ["b", "c"]
            assert "too many kernels" in (await call(interpreter, "1", tmp_path / "a", "a")).text
        async with opened(idle=0.3) as interpreter:
            await call(interpreter, "x = 1", tmp_path)
            deadline = time.monotonic() + 10
            while interpreter.conversations["one"].kernel is not None and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            assert "unused for 0.3 s" in (await call(interpreter, "1", tmp_path)).text

    asyncio.run(run())


def test_cancelled_call_then_a_fresh_kernel(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened() as interpreter:
            await call(interpreter, "1", tmp_path)
            task = asyncio.create_task(call(interpreter, "while True: pass", tmp_path))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert "the call was cancelled" in (await call(interpreter, "1", tmp_path)).text

    asyncio.run(run())


def test_unsafe_execution_is_announced(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(unsafe_host_exec=True) as interpreter:
            assert "WITHOUT a sandbox" in interpreter.warnings()[0]
            assert (await call(interpreter, "import os; os.getcwd()", tmp_path)).text == repr(str(tmp_path))
        shell = Shell(unsafe_host_exec=True)
        await shell.open()
        assert "WITHOUT a sandbox" in shell.warnings()[0]

    asyncio.run(run())


def test_missing_ipykernel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    with pytest.raises(UserError, match=r"pip install 'ponder-llm\[agent\]'"):
        asyncio.run(CodeInterpreter().open())


def test_shell(tmp_path: Path) -> None:
    async def run() -> None:
        shell = Shell(timeout=2, limits=SandboxLimits())
        await shell.open()
        [tool] = shell.tools()
        context = ToolContext("one", tmp_path)

        async def sh(command: str) -> Output:
            return await tool.call({"command": command}, context)

        assert await sh("echo hi | tr h H") == Output("Hi", structured={"changes": []})
        failed = await sh("ls nothing; exit 4")
        assert failed.error and failed.text.endswith("[exit code 4]")
        made = await sh("mkdir d && echo x > d/f")
        assert made.text == "[files: d/f (added, 2 bytes)]"
        late = await sh("sleep 100")
        assert late.error and late.text == "[stopped after 2 s]"
        odd = await sh("printf '\\000\\377' ; python -c 'import socket; socket.socket()'")
        assert odd.error and "Address family not supported" in odd.text

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "code"),
    [("x = 1", "x = 1"), ("```python\nx\n```", "x"), ("```\nx\ny\n```\n", "x\ny"), ("```", "```"), ("", "")],
)
def test_fences(given: str, code: str) -> None:
    assert plain(given) == code
