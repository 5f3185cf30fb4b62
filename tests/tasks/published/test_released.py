"""Every released benchmark on a fixture in the form of its file, and on answers whose label is known."""

import gzip
import json
from pathlib import Path

import pytest
from released_rows import FIXTURES, GSM8K, LABELLED, RUN

from ponder.core.errors import UserError
from ponder.eval.run import jobs_of, request_of
from ponder.eval.settings import Settings, deviations
from ponder.tasks.labelled import judge, labelled
from ponder.tasks.published.open_ended import OpenEnded
from ponder.tasks.published.table import RELEASED, released
from ponder.tasks.table import tasks_named


def written(name: str, folder: Path) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in FIXTURES[name]))
    return path


@pytest.mark.parametrize("name", RELEASED)
def test_a_fixture_is_read_and_asked(name: str, tmp_path: Path) -> None:
    task = RELEASED[name].loaded(written(name, tmp_path))
    assert len(task.items) == len(FIXTURES[name])
    problems = [p for level in range(task.levels) for p in task.distinct(None, level, "test", 1000)]  # type: ignore[arg-type]
    assert [p.id for p in problems].sort() == list(task.items).sort()
    assert all(p.messages[-1].text for p in problems)
    assert all((p.answer_key is None) == isinstance(task, OpenEnded) for p in problems)
    assert (
        task.fingerprint() != RELEASED[name].loaded(written(name, tmp_path)).with_items(task.items, "x").fingerprint()
    )
    if task.trials == 12:
        checked = judge(task, labelled(task, 12))
        assert not checked.taken and len(checked.missed) <= checked.right / 100


def test_without_a_judge_nothing_is_graded(tmp_path: Path) -> None:
    task = RELEASED["arena_hard"].loaded(written("arena_hard", tmp_path))
    assert task.verify(task.problem("u1", 0, "test"), "Roses are red.").status == "no_key"


@pytest.mark.parametrize(("name", "id_", "text", "right"), LABELLED)
def test_labelled_answers(name: str, id_: str, text: str, right: bool, tmp_path: Path) -> None:
    task = RELEASED[name].loaded(written(name, tmp_path))
    assert task.verify(task.problem(id_, 0, "test"), text).ok == right


@pytest.mark.parametrize(
    ("name", "id_", "text", "right"),
    [pytest.param(*row, marks=() if n % 4 == 0 else pytest.mark.slow) for n, row in enumerate(RUN)],
)
def test_labelled_programs(name: str, id_: str, text: str, right: bool, tmp_path: Path) -> None:
    task = RELEASED[name].loaded(written(name, tmp_path))
    assert task.verify(task.problem(id_, 0, "test"), text).ok == right


def test_numbers_of_gsm8k_are_tried_on_hundreds_of_answers(tmp_path: Path) -> None:
    checked = judge(
        RELEASED["gsm8k"].loaded(written("gsm8k", tmp_path)),
        labelled(RELEASED["gsm8k"].loaded(written("gsm8k", tmp_path)), 12),
    )
    assert checked.right >= 500 and checked.wrong >= 500 and not checked.taken


def test_the_packaged_humaneval_is_whole() -> None:
    task = released("humaneval", None)
    assert len(task.items) == 164
    problem = task.problem("HumanEval/0", 0, "test")
    assert task.verify(problem, task.answer(problem)).ok


def test_missing_and_broken_data(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"gsm8k has no data here: name its file with --data gsm8k=FILE. github.com/openai"
    ):
        tasks_named(["gsm8k"])
    with pytest.raises(UserError, match="there is no file"):
        tasks_named(["gsm8k"], {"gsm8k": str(tmp_path / "no.jsonl")})
    with pytest.raises(UserError, match="did you mean gsm8k"):
        tasks_named(["gsm8"])
    for text, said in (
        ('{"a": 1}\n', "row 1: no item of gsm8k"),
        ("[1, 2]\n", "no rows"),
        ("{", "is no .jsonl"),
        ("", "no rows"),
    ):
        path = tmp_path / "x.jsonl"
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            RELEASED["gsm8k"].loaded(path)
    twice = tmp_path / "twice.jsonl"
    twice.write_text(2 * (json.dumps({"id": 4, **GSM8K[0]}) + "\n"))
    with pytest.raises(UserError, match="4 is there twice"):
        RELEASED["gsm8k"].loaded(twice)
    with pytest.raises(UserError, match="it has no train split"):
        RELEASED["gsm8k"].loaded(written("gsm8k", tmp_path)).distinct(None, 0, "train", 1)  # type: ignore[arg-type]


def test_other_forms_of_files(tmp_path: Path) -> None:
    rows = FIXTURES["ceval"]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.json").write_text(json.dumps({"data": rows}))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    head = list(rows[0])
    (tmp_path / "d.csv").write_text("\n".join(",".join(map(str, line)) for line in (head, *(r.values() for r in rows))))
    loaded = [RELEASED["ceval"].loaded(path) for path in sorted(tmp_path.iterdir())]
    assert len(loaded) == 4 and all(task.items == loaded[0].items for task in loaded)


def test_the_report_s_settings(tmp_path: Path) -> None:
    data = {name: str(written(name, tmp_path)) for name in ("aime24", "gsm8k")}
    reported = Settings(tasks=("aime24", "gsm8k"), data=data, as_reported=True, n=3)
    jobs = jobs_of(reported)
    assert (
        sum(j.task.name == "aime24" for j in jobs) == 8 * 64 * 2 and sum(j.task.name == "gsm8k" for j in jobs) == 8 * 2
    )
    think, plain = (
        request_of(next(j for j in jobs if j.cell.mode == m), reported).sampling for m in ("think", "no_think")
    )
    assert (think.temperature, think.top_p, think.top_k, think.max_tokens, think.presence_penalty) == (
        0.6,
        0.95,
        20,
        38912,
        0,
    )
    assert (plain.temperature, plain.top_p, plain.presence_penalty) == (0.7, 0.8, 1.5)
    assert deviations(reported) == []
    said = deviations(Settings(tasks=("aime24",), data=data, n=3))
    assert said == [
        "aime24: 3 of its 8 questions, 1 answers to each instead of 64, the model's own sampling values and "
        "lengths instead of the report's."
    ]
