"""The file tools: what they do, and that they stay inside."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from ponder.agent.tools.files import MAX_HITS, Files
from ponder.agent.tools.tool import Output, ToolContext
from ponder.core.errors import UserError


def call(tool: str, folder: Path, **arguments: Any) -> Output:
    [found] = [t for t in Files().tools() if t.name == tool]
    assert set(arguments) <= set(found.parameters["properties"])
    return asyncio.run(found.call(arguments, ToolContext("one", folder)))


def test_write_read_edit_list_search(tmp_path: Path) -> None:
    wrote = call("write_file", tmp_path, name="notes/a.txt", content="eins\nzwei\nÜber drei\n")
    assert wrote.files == ("notes/a.txt",) and "+zwei" in wrote.structured["changes"][0]["diff"]
    assert call("read_file", tmp_path, name="notes/a.txt", start=2, lines=1).text == (
        "zwei\n[... 1 more lines; go on with start=3]"
    )
    edited = call("edit_file", tmp_path, name="notes/a.txt", old="zwei", new="2")
    assert "-zwei\n+2" in edited.structured["changes"][0]["diff"]
    assert call("list_files", tmp_path).text == "notes/a.txt  18 bytes"
    assert call("search_files", tmp_path, text="über").text == "notes/a.txt:3: Über drei"
    assert call("search_files", tmp_path, text="nirgends").text == "[no line contains 'nirgends']"


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("read_file", {"name": "../x"}, "leads out"),
        ("read_file", {"name": "/etc/passwd"}, "not a name inside"),
        ("read_file", {"name": "missing"}, "no such file"),
        ("read_file", {"name": "link"}, "symbolic link"),
        ("read_file", {"name": "blob"}, "not a text file"),
        ("read_file", {"name": "text", "start": 9}, "has 2 lines"),
        ("write_file", {"name": "out/x", "content": ""}, "not a folder"),
        ("write_file", {"name": "x", "content": "\ud800"}, "UTF-8"),
        ("edit_file", {"name": "text", "old": "a", "new": "b"}, "occurs 2 times"),
        ("edit_file", {"name": "text", "old": "q", "new": "b"}, "does not occur"),
        ("edit_file", {"name": "text", "old": "", "new": "b"}, "is empty"),
    ],
)
def test_refused(tmp_path: Path, tool: str, arguments: dict[str, Any], problem: str) -> None:
    (tmp_path / "text").write_text("a\na\n")
    (tmp_path / "blob").write_bytes(b"\0\1")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "out").symlink_to("/tmp")
    with pytest.raises(UserError, match=problem):
        call(tool, tmp_path, **arguments)


def test_bounds(tmp_path: Path) -> None:
    (tmp_path / "wide").write_text("hit" + "x" * 100_000)
    (tmp_path / "long").write_text("hit\n" * 5000)
    assert len(call("read_file", tmp_path, name="wide").text) < 3000
    assert call("read_file", tmp_path, name="long").text.endswith("go on with start=1001]")
    assert call("search_files", tmp_path, text="hit").text.count("\n") == MAX_HITS
    for i in range(600):
        (tmp_path / f"f{i}").touch()
    assert call("list_files", tmp_path).text.endswith("[... more than 500 files]")


def test_planted_things_are_not_followed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "secret").write_text("canary")
    (work / "link").symlink_to("../secret")
    (work / "dir").symlink_to("..")
    os.mkfifo(work / "pipe")
    (work / "loop").symlink_to("loop")
    assert call("list_files", work).text == "[the workspace is empty]"
    assert "canary" not in call("search_files", work, text="canary").text.replace("'canary'", "")
