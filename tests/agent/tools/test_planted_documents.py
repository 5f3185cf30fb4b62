"""Document search over a workspace in which sandboxed code swaps a file for a link between the look and the reading."""

from pathlib import Path

import pytest

from ponder.agent.loop.agent import Agent
from ponder.agent.tools import doc_search
from ponder.agent.tools.doc_search import DocSearch
from ponder.core.errors import UserError


def test_a_file_that_became_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    (work / "folder").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("canary of the user")
    (work / "mine.txt").write_text("canary of mine")
    (work / "odd\nname.txt").write_text("canary of nobody")
    # What the listing had seen as a file and a folder:
    (work / "file.txt").symlink_to("../secret.txt")
    (work / "way").symlink_to("..")
    seen = [work / "mine.txt", work / "file.txt", work / "way/secret.txt", work / "odd\nname.txt"]
    assert "user" in seen[1].read_text() and "user" in seen[2].read_text()
    monkeypatch.setattr(doc_search, "_documents", lambda roots: iter(seen))
    assert DocSearch().search("canary", work).text == "[1] mine.txt\ncanary of mine"


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "a/b", ".."])
def test_a_conversation_whose_folder_would_lie_elsewhere(tmp_path: Path, name: str) -> None:
    agent = Agent(object(), workspace=tmp_path / "work")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"cannot name a conversation|leads out|not a name inside"):
        agent.workspace(name)
    assert not (tmp_path / "work").exists()
