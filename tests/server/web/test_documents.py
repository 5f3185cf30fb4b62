"""Files in the web chat: the tokens they have, what fits, and passages with their pages of what does not."""

import json
from functools import partial
from pathlib import Path

import httpx
from live import server

from ponder.engine.llm import LLM
from ponder.server.web.documents.fitting import SHARE, _too_long
from ponder.server.web.documents.passages import best_passages, cut
from ponder.server.web.documents.reading import read

BOOK = "\n\n".join(f"[page {n}]\n" + (f"Of {n} nothing is known. " * 60) for n in range(1, 30))
BOOK = BOOK.replace("Of 17 nothing", "The treasure lies below the old oak. Of 17 nothing", 1)


def test_passages_know_their_pages() -> None:
    found = best_passages([("a.pdf", BOOK), ("b.txt", "Nothing of interest.")], "Where is the treasure?", 3000)
    assert ("a.pdf", "page 17") in [(name, where) for name, where, _ in found]
    assert any("old oak" in text for _, _, text in found) and sum(len(text) for _, _, text in found) <= 4200
    assert [p[:2] for p in cut("x", "before\n[slide 2]\nafter")] == [("x", ""), ("x", "slide 2")]
    first = best_passages([("a.pdf", BOOK)], "xyzzy", 2000)
    assert {where for _, where, _ in first} == {"page 1"}, "without a word in common, how it begins"


def test_the_longest_give_way() -> None:
    files = [{"name": str(n), "text": "", "tokens": n} for n in (9000, 100, 500)]
    assert _too_long(files, 10_000) == []
    assert [file["name"] for file in _too_long(files, 9_000)] == ["9000"]


def test_tokens_are_told_and_what_does_not_fit_is_answered_from_passages(tmp_path: Path) -> None:
    script = tmp_path / "small.jsonl"
    lines = [{"model": {"context": 4096, "capability": "instruct"}}, *[{"text": "Below the oak."}] * 2]
    script.write_text("\n".join(map(json.dumps, lines)))
    with server({"small": partial(LLM, f"scripted:{script}")}) as url, httpx.Client(base_url=url, timeout=60) as http:
        told = http.post("/web/extract?name=a.txt", content=BOOK.encode()).json()
        assert told["tokens"] == read("a.txt", BOOK.encode())[1] > SHARE * 4096
        conversation = http.post("/web/conversations", json={}).json()["id"]
        for files, passed in (([told | {"name": "book.pdf"}], True), ([], True)):
            message = {"content": "Where is the treasure?", "attachments": files, "parent": None}
            row = http.post(f"/web/conversations/{conversation}/messages", json=message).json()
            body = {"parent": row["id"], "model": "small"}
            http.post(f"/web/conversations/{conversation}/reply", json=body)
            last = http.get(f"/web/conversations/{conversation}").json()["messages"][-1]
            assert last["content"] == "Below the oak." and passed
            notes = [step["text"] for step in last["steps"] if step["kind"] == "note"]
            assert len(notes) == len(files)
            if files:
                assert "book.pdf, page 17:\nThe treasure lies below the old oak." in notes[0]
                assert last["facts"]["usage"]["prompt_tokens"] < 4096
                assert notes[0].startswith(
                    "Too long for this model, which has room for 2,457 tokens of files: book.pdf ("
                )
