"""Tasks with tools over many steps, played through the agent loop: what is left behind is graded."""

import json
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from saying import call, thought

from ponder import LLM
from ponder.core.errors import UpstreamError, UserError
from ponder.eval.run import run
from ponder.eval.settings import Settings
from ponder.tasks.labelled import judge, labelled
from ponder.tasks.table import PLAYED, tasks_named
from ponder.tasks.tools.goals import Goals
from ponder.tasks.tools.zones import ZONES as CITIES

STORE = PLAYED["store"]


def scripted(folder: Path, says: list[str]) -> LLM:
    path = folder / "replies.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in says))
    return LLM(f"scripted:{path}")


def test_labelled_states() -> None:
    checked = judge(STORE, labelled(STORE, 60))
    assert checked.right >= 500 and checked.wrong >= 500 and not checked.taken and not checked.missed


def test_a_store_is_played_to_its_goal(tmp_path: Path) -> None:
    wanted = Settings(tasks=("store",), levels=(0,), n=1, modes=("think",))
    problem = wanted.problems(STORE)[0]
    state, _, limit, shelf = json.loads(problem.id)
    dear = [thing for thing, item in state.items() if item["price"] > limit]
    says = [thought("Look.") + call("list_things"), *(call("look_at", thing=thing) for thing in state)]
    says += [
        call("move", thing="ghost", shelf=shelf),
        *(call("move", thing=thing, shelf=shelf) for thing in dear),
        "It is done.",
    ]
    with scripted(tmp_path, says) as llm:
        (output,) = run(llm, wanted)
    assert output.ok and json.loads(output.answer)[dear[0]]["shelf"] == shelf
    assert output.reasoning == "Look." and output.finish == "stop" and output.completion_tokens > 20
    with scripted(tmp_path, ["It is done."]) as llm:
        (output,) = run(llm, wanted)
    assert not output.ok and output.status == "graded" and json.loads(output.answer) == state


def test_steps_that_do_not_end_are_cut(tmp_path: Path) -> None:
    wanted = Settings(tasks=("store",), levels=(0,), n=1, modes=("no_think",))
    with scripted(tmp_path, [call("list_things")] * 40) as llm:
        (output,) = run(llm, wanted)
    assert output.status == "truncated" and not output.ok


def goals(folder: Path, **more: object) -> Path:
    path = folder / "goals.json"
    server = {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone=Europe/Berlin"]}
    one = {
        "id": "1",
        "ask": "When it is 14:30 in Berlin, what time is it in Tokyo?",
        "answer": "21:30",
        "not": ["Paris"],
    }
    path.write_text(json.dumps({"mcpServers": {"time": server}, "goals": [{**one, **more}]}))
    return path


def test_goals_with_a_real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    asks = call("time-convert_time", source_timezone="Europe/Berlin", time="14:30", target_timezone="Asia/Tokyo")
    wanted = Settings(tasks=("mcp",), data={"mcp": str(goals(tmp_path))}, modes=("no_think",), n=5)
    with scripted(tmp_path, [asks, "It is 21:30 in Tokyo, or 22:30 in summer."]) as llm:
        (output,) = run(llm, wanted)
    assert output.ok and output.task == "mcp"


def test_what_is_read_in_the_last_words(tmp_path: Path) -> None:
    task = Goals.loaded(goals(tmp_path))
    problem = task.problem("1", 0, "test")
    for text, right in (
        ("It is 21:30.", True),
        ("21:300", False),
        ("121:30", False),
        ("21:30 in Paris", False),
        ("", False),
    ):
        assert task.verify(problem, text).ok == right
    with pytest.raises(UserError, match="name their file with --data mcp=FILE"):
        tasks_named(["mcp"])
    (tmp_path / "goals.json").write_text('{"mcpServers": {}, "goals": []}')
    with pytest.raises(UserError, match="an id of its own"):
        Goals.loaded(tmp_path / "goals.json")
    with pytest.raises(UserError, match="no goal is in the split train"):
        task.distinct(None, 0, "train", 1)  # type: ignore[arg-type]


def test_goals_of_a_split_and_a_server_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ponder.eval.run.ATTEMPTS", 2)
    task = Goals.loaded(goals(tmp_path, split="train"))
    assert task.make(random.Random(0), 0, "train").split == "train"
    with pytest.raises(UserError, match="no goal is in the split test"):
        task.make(random.Random(0), 0, "test")
    path = goals(tmp_path)
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "mcpServers": {"time": {"command": "no-such-server"}}}))
    wanted = Settings(tasks=("mcp",), data={"mcp": str(path)}, modes=("no_think",), n=1)
    with (
        scripted(tmp_path, ["It is 21:30."]) as llm,
        pytest.raises(UpstreamError, match=r"mcp cannot be played: .*time"),
    ):
        run(llm, wanted)


ZONES = PLAYED["zones"]


def test_labelled_times_and_how_it_is_done() -> None:
    checked = judge(ZONES, labelled(ZONES, 70))
    assert checked.right >= 500 and checked.wrong >= 500 and not checked.taken and not checked.missed
    id_ = '["23:30", "Bogota", ["Kolkata", "Honolulu"]]'
    problem = ZONES.problem(id_, 1, "train")
    assert problem.messages[0].text == "It is 23:30 in Bogota. What time is it in Kolkata and in Honolulu?"
    assert ZONES.answer(problem) == "10:00 and 18:30"
    first = ZONES.act(problem, [])
    assert [json.loads(c.arguments)["target_timezone"] for c in first.tool_calls] == ["Asia/Kolkata"]
    told = [json.dumps({"target": {"datetime": f"2026-12-01T{time}:00+05:30"}}) for time in ("10:00", "18:30")]
    assert ZONES.act(problem, told[:1]).tool_calls and ZONES.act(problem, told).text == ZONES.answer(problem)
    for zone, minutes in CITIES.values():
        for month in (1, 7):
            assert datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() == timedelta(minutes=minutes)
