"""Episodes of several turns: ids as drawn, tools' words masked, and what becomes of tools that fail or are gone."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp_faulty import no_orphans
from saying import call, thought

from ponder.core.errors import UserError
from ponder.core.sample import Rollout
from ponder.engine.load_options import LoadOptions
from ponder.engine.loaded import open_model
from ponder.engine.scheduling.engine import Engine
from ponder.engine.token_model import TokenEngine
from ponder.tasks.table import PLAYED
from ponder.tasks.tools.goals import Goals
from ponder.tasks.tools.world import PlayedTask
from ponder.train.rollouts import episodes as module
from ponder.train.rollouts.advantage import advantages, of_groups
from ponder.train.rollouts.collect import Ask
from ponder.train.rollouts.episodes import Episodes
from ponder.train.rollouts.groups import GroupSource, computed, metrics_of
from ponder.train.rollouts.samples import samples_of

STORE = PLAYED["store"]
GOAL = {"id": "1", "ask": "Say it.", "answer": "noon", "split": "train"}


def says(folder: Path, *lines: str) -> TokenEngine:
    """An engine that says these, one a turn in the order in which turns come."""
    path = folder / "replies.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in lines))
    loaded = open_model(f"scripted:{path}", LoadOptions())
    return TokenEngine(Engine(loaded.runner, background=False), loaded.tokenizer, loaded.profile)


def ask(task: PlayedTask = STORE, *, thinking: bool = True) -> Ask:
    return Ask(task=task, problem=task.make(random.Random(3), 0, "train"), seed=1, thinking=thinking)


def played(engine: TokenEngine, folder: Path, one: Ask, *, turns: int = 8, most: int = 200) -> tuple[Rollout, Episodes]:
    with Episodes(engine, turns, most, folder) as play:
        [[rollout]] = play([one], 1)
    return rollout, play


def written(engine: TokenEngine, rollout: Rollout, writer: str) -> str:
    said = rollout.continuation
    return engine.tokenizer.decode([i for i, w in zip(said.ids, said.writers) if w == writer], skip_special=False)


def test_what_the_model_said_is_learned_and_what_tools_said_is_not(tmp_path: Path) -> None:
    problem = ask().problem
    state, _, limit, shelf = json.loads(problem.id)
    dear = [thing for thing, item in state.items() if item["price"] > limit]
    lines = [
        thought("Look.") + call("list_things"),
        *(call("move", thing=thing, shelf=shelf) for thing in dear),
        "Done.",
    ]
    engine = says(tmp_path, *lines)
    rollout, play = played(engine, tmp_path, ask())
    assert rollout.verdict is not None and rollout.verdict.ok and not rollout.earlier
    assert play.told == {
        "turns": len(lines),
        "calls": len(lines) - 1,
        "errors": 0,
        "unknown": 0,
        "malformed": 0,
        "lost": 0,
    }
    said = rollout.continuation
    assert written(engine, rollout, "model") == "".join(f"{line}<|im_end|>" for line in lines)
    heard = written(engine, rollout, "environment")
    assert ", ".join(state) in heard and heard.count("<tool_response>") == len(lines) - 1 and "Look" not in heard
    assert said.logprobs is not None
    assert all((p < 0) == (w == "model") or w == "model" for p, w in zip(said.logprobs, said.writers))
    [sample] = samples_of([[rollout, rollout]], kind="dr_grpo")[:1]
    own = np.array([w == "model" for w in said.writers])
    np.testing.assert_array_equal(sample.rl[len(rollout.prompt_ids) :] > 0, own)
    assert not sample.rl[: len(rollout.prompt_ids)].any() and not sample.behaviour[sample.rl == 0].any()
    assert metrics_of([[rollout]])["new_tokens"] == own.sum() and computed([[rollout]]) == len(sample.ids)


def test_calls_that_are_wrong_are_answered_and_the_episode_goes_on(tmp_path: Path) -> None:
    engine = says(tmp_path, call("fly"), "<tool_call>\n{broken\n</tool_call>", call("look_at"), "I give up.")
    rollout, play = played(engine, tmp_path, ask())
    assert rollout.verdict is not None and rollout.verdict.status == "graded" and not rollout.verdict.ok
    assert (play.told["unknown"], play.told["errors"], play.told["malformed"], play.told["turns"]) == (1, 2, 1, 4)
    heard = written(engine, rollout, "environment")
    for told in ("there is no tool named", "not well formed", "look_at needs thing"):
        assert told in heard
    assert not rollout.earlier


def test_calls_without_end_and_words_that_are_cut_count_for_nothing(tmp_path: Path) -> None:
    rollout, play = played(says(tmp_path, call("list_things")), tmp_path, ask(), turns=3)
    assert rollout.verdict is not None and rollout.verdict.status == "truncated" and play.told["turns"] > 3
    long = played(says(tmp_path, "word " * 300), tmp_path, ask(), most=30)[0]
    assert long.verdict is not None and long.verdict.status == "truncated" and long.continuation.finish == "length"


def test_a_prompt_that_does_not_go_on_begins_a_stretch(tmp_path: Path) -> None:
    """A turn without words is left out of the next prompt; it is learned behind the prompt that it had."""
    engine = says(tmp_path, call("list_things"), " ", "Done.")
    rollout, _ = played(engine, tmp_path, ask())
    [before] = rollout.earlier
    assert (
        written(engine, before, "model").startswith("<tool_call>")
        and written(engine, rollout, "model") == "Done.<|im_end|>"
    )
    assert before.verdict is None and before.prompt_ids != rollout.prompt_ids
    assert len(samples_of([[rollout, rollout]])) == 4
    assert metrics_of([[rollout]])["new_tokens"] > len(rollout.continuation.ids)


def test_the_same_seed_gives_the_same_ids_and_a_block_that_was_prefilled_stays(tmp_path: Path) -> None:
    first = played(says(tmp_path, call("list_things"), "Done."), tmp_path, ask(thinking=False))[0]
    again = played(says(tmp_path, call("list_things"), "Done."), tmp_path, ask(thinking=False))[0]
    assert first.continuation == again.continuation and not first.earlier


def goals(server: dict[str, Any], *, shared: bool = True) -> Goals:
    return Goals(servers={"bad": server}, goals={"1": GOAL}, shared=shared)


def test_an_episode_whose_server_died_is_dropped_and_the_group_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    engine = says(tmp_path, call("bad-die"), "It is noon.")
    with no_orphans(5) as marked, Episodes(engine, 4, 60, tmp_path) as play:
        task = goals(marked.server("dies_in_call"))
        [[left]] = play([ask(task)], 2)  # one of the two calls, the other answers at once
        assert left.verdict is not None and left.verdict.ok and (play.played, play.lost) == (2, 1)
        assert play.told["lost"] == 0.5 and play.told["calls"] == 0.5
        with pytest.raises(UserError, match="advantages compare"):
            samples_of([[left]])
        monkeypatch.setattr(module, "FEW", 2)
        with pytest.raises(UserError, match=r"2 of 4 episodes are lost. In the last one the tools of mcp") as error:
            play([ask(task)], 2)
        assert error.value.code == "tools_lost"


def test_a_server_that_does_not_start_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    engine = says(tmp_path, "It is noon.")
    with (
        Episodes(engine, 4, 60, tmp_path) as play,
        pytest.raises(UserError, match="a required server did not start"),
    ):
        play([ask(goals({"command": "no-such-server"}))], 2)


def test_a_tool_that_hangs_is_given_up_and_the_model_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    engine = says(tmp_path, call("bad-wait"), "Then noon.")
    with no_orphans(5) as marked:
        rollout, play = played(engine, tmp_path, ask(goals(marked.server("never_answers", tool_timeout=0.2))))
    assert rollout.verdict is not None and rollout.verdict.ok and play.lost == 0 and play.told["errors"] == 1
    assert "did not answer within 0.2 seconds" in written(engine, rollout, "environment")


def test_groups_of_different_sizes_by_hand() -> None:
    rewards = [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0]]
    for kind in ("grpo", "dr_grpo", "leave_one_out"):
        whole, short = of_groups(rewards, kind)
        np.testing.assert_array_equal(whole, advantages(rewards[:1], kind)[0])
        np.testing.assert_array_equal(short, advantages(rewards[1:], kind)[0])
    spread = np.std([1, 0, 0, 0, 1, 0], ddof=1) + 1e-4
    np.testing.assert_allclose(of_groups(rewards, "batch")[1], [0.5 / spread, -0.5 / spread])
    assert [a.tolist() for a in of_groups([[1.0], [0.0, 0.0]])] == [[0.0], [0.0, 0.0]]


def test_a_group_of_which_one_is_left_has_no_signal(tmp_path: Path) -> None:
    rollout, _ = played(says(tmp_path, "Done."), tmp_path, ask())
    assert rollout.verdict is not None
    right = rollout.graded(type(rollout.verdict)(reward=1.0, ok=True))
    kept, metrics = GroupSource(lambda step, turn, count: [[rollout], [rollout, right]], 2, "drop").collect(0)
    assert [len(group) for group in kept] == [2] and metrics["no_signal"] == 0.5
