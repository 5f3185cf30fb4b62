"""What is asked, how it is graded, and what the scores and curves make of it."""

import re
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from fake_model import Fake, Stream, finish, right

from ponder.core.errors import UserError
from ponder.core.event import ReasoningDelta, TextDelta
from ponder.core.request import ChatRequest
from ponder.core.sample import Problem
from ponder.eval import manifest as files
from ponder.eval.curve import RED, curve_of, scores_of
from ponder.eval.figure import curve_figure, parts_figure
from ponder.eval.grade import graded
from ponder.eval.manifest import ModelCard, differences, manifest_of, result_of
from ponder.eval.report import html, markdown
from ponder.eval.run import jobs_of, run
from ponder.eval.settings import Cell, Settings, budgets_of, check_capability, levels_of, modes_for, modes_of
from ponder.tasks.labelled import VerifierError
from ponder.tasks.letters import Letters
from ponder.tasks.table import TASKS

COUNT = TASKS["count"]


def wrong(task: str, id_: str, request: ChatRequest) -> str:
    return str(int(TASKS[task].solve(id_)) + 1)


def settings(**values: object) -> Settings:
    return Settings(**{"tasks": ("count",), "budgets": (0, 4, 6, None), "levels": (0, 2, 4), "n": 30, **values})


# -- settings -------------------------------------------------------------------------------------------------------


def test_the_words_of_the_command_line() -> None:
    assert budgets_of("0, 4,none") == (0, 4, None)
    assert levels_of("0-2,5") == (0, 1, 2, 5)
    assert modes_of("no-think,think") == ("no_think", "think")
    for call, text, said in (
        (budgets_of, "4,x", "none, got 'x'"),
        (budgets_of, "-1", "got '-1'"),
        (levels_of, "a", "0-3,5"),
        (modes_of, "thinks", "did you mean think?"),
        (modes_of, "quietly", "there are think and no_think"),
    ):
        with pytest.raises(UserError, match=said):
            call(text)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tasks": ("coutn",)}, "did you mean count"),
        ({"tasks": ()}, "tasks must name one or more"),
        ({"tasks": ("count", "count")}, "each of them once"),
        ({"n": 0}, "n must be 1"),
        ({"samples": 0}, "samples must be 1"),
        ({"budgets": (-2,)}, "0 or more"),
        ({"modes": ("no_think",)}, "budgets are for thoughts"),
        ({"levels": (40,)}, "levels 0 to 9"),
    ],
)
def test_bad_settings_say_what_to_do(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        settings(**values).checked()


def test_modes_that_a_model_does_not_have() -> None:
    for capability in ("instruct", "base"):
        with pytest.raises(UserError, match=r"m does not think \(.*\), .*leave --budgets out"):
            check_capability(settings(), "m", capability)
    with pytest.raises(UserError, match="always thinks"):
        check_capability(settings(), "m", "thinking")
    for capability in ("hybrid", "thinking", "instruct", "base"):
        check_capability(settings(modes=modes_for(capability), budgets=(None,)), "m", capability)


def test_problems_are_test_questions_the_same_each_time_and_spread_over_the_levels() -> None:
    problems = settings(n=31).problems(COUNT)
    assert problems == settings(n=31).problems(COUNT) != settings(n=31, seed=1).problems(COUNT)
    assert [sum(p.level == level for p in problems) for level in (0, 2, 4)] == [11, 10, 10]
    assert len({p.id for p in problems}) == 31 and {p.split for p in problems} == {"test"}


def test_seeds_depend_on_problem_and_sample_and_not_on_the_cell() -> None:
    wanted = settings(n=6, samples=2, seed=5)
    model = Fake(wanted)
    outputs = run(model, wanted)
    assert len({o.seed for o in outputs}) == 12
    assert len({(o.problem, o.sample, o.seed) for o in outputs}) == 12 and len(outputs) == 12 * 5
    assert {r.sampling.seed for r in model.requests} == {o.seed for o in outputs}


# -- grading --------------------------------------------------------------------------------------------------------

PROBLEM = COUNT.problem("r in strawberry", 8, "test")
REQUEST = ChatRequest(messages=PROBLEM.messages)
THINK = Cell("think", 8)


def status(*events: object, **end: object) -> tuple[str, bool]:
    output = graded(COUNT, PROBLEM, THINK, 0, 1, [*events, finish(REQUEST, **end)])
    return output.status, output.ok


def test_only_the_answer_is_graded() -> None:
    assert status(ReasoningDelta("It is 4."), TextDelta("3")) == ("graded", True)
    assert status(ReasoningDelta("It is 3."), TextDelta("4")) == ("graded", False)
    assert status(ReasoningDelta("It is 3."), TextDelta("I am not sure.")) == ("unparsed", False)
    assert status(TextDelta("3")) == ("graded", True)


def test_thoughts_that_do_not_end_and_answers_that_are_cut_are_truncated() -> None:
    assert status(ReasoningDelta("It is 3."), reason="length") == ("truncated", False)
    assert status(ReasoningDelta("It is 3.")) == ("truncated", False)
    assert status(TextDelta("3"), reason="length") == ("truncated", False)


def test_thoughts_that_an_endpoint_leaves_in_the_text() -> None:
    assert status(TextDelta("<think>\nIt is 4.\n</think>\n\n3")) == ("graded", True)
    assert status(TextDelta("<think>\nIt is 3.")) == ("truncated", False)


def test_loops_are_counted() -> None:
    for end in ({"handover": "loop"}, {"stop_reason": "repetition"}):
        assert graded(COUNT, PROBLEM, THINK, 0, 1, [TextDelta("3"), finish(REQUEST, **end)]).loops
    assert not graded(COUNT, PROBLEM, THINK, 0, 1, [TextDelta("3"), finish(REQUEST)]).loops


def test_a_verifier_that_fails_ends_the_run_with_what_it_failed_on() -> None:
    class Broken(Letters):
        def read(self, problem: Problem, text: str) -> str | None:
            raise ZeroDivisionError("no")

    with pytest.raises(VerifierError, match="problem 'r in strawberry' of count, answer '3': no"):
        graded(Broken(), PROBLEM, THINK, 0, 1, [TextDelta("3"), finish(REQUEST)])


# -- scores and curves ----------------------------------------------------------------------------------------------


def test_scores_of_a_model_that_is_known() -> None:
    """Whole thoughts are right, cut ones wrong, and without thoughts only words of two letters are counted."""
    wanted = settings()

    def plain(task: str, id_: str, request: ChatRequest) -> str:
        return (right if len(id_.split(" in ")[1]) == 2 else wrong)(task, id_, request)

    outputs = run(Fake(wanted, cut=wrong, plain=plain), wanted)
    scores = {(s.cell, s.level): s for s in scores_of(wanted, outputs)}
    assert scores[Cell("think"), None].pass_1.value == 1
    assert scores[Cell("think", 0), None].pass_1.value == 0
    assert scores[Cell("no_think"), None].pass_1.value == pytest.approx(1 / 3)
    assert scores[Cell("no_think"), 0].pass_1.value == 1 and scores[Cell("no_think"), 2].pass_1.value == 0
    assert scores[Cell("think"), 4].chance == pytest.approx(1 / 7)
    # thoughts of the levels 0, 2, 4 have 3, 5, 7 words
    fits = {p.budget: p.fits for p in curve_of(wanted, outputs) if p.level is None}
    assert fits == {0: 0, 4: pytest.approx(1 / 3), 6: pytest.approx(2 / 3), None: 1}


def test_a_point_is_the_sum_of_its_parts() -> None:
    wanted = settings(samples=3)

    def cut(task: str, id_: str, request: ChatRequest) -> str:
        return (right if request.sampling.seed % 4 == 0 else wrong)(task, id_, request)

    def whole(task: str, id_: str, request: ChatRequest) -> str:
        return (wrong if request.sampling.seed % 5 == 0 else right)(task, id_, request)

    points = curve_of(wanted, run(Fake(wanted, cut=cut, whole=whole), wanted))
    mixed = [p for p in points if 0 < p.fits < 1]
    assert mixed
    for p in points:
        parts = p.fits * (p.whole or 0) + (1 - p.fits) * (p.cut or 0)
        assert p.accuracy.value == pytest.approx(parts)
    assert all(p.whole != p.cut for p in mixed)


def test_pass_and_majority_over_samples() -> None:
    wanted = settings(modes=("no_think",), budgets=(None,), samples=3, levels=(4,), n=10)
    counts: dict[str, int] = {}

    def plain(task: str, id_: str, request: ChatRequest) -> str:
        """One in three is right, the others agree on a wrong number."""
        counts[id_] = counts.get(id_, 0) + 1
        return right(task, id_, request) if counts[id_] == 1 else wrong(task, id_, request)

    score = scores_of(wanted, run(Fake(wanted, plain=plain), wanted, in_flight=1))[0]
    assert score.k == 3 and score.pass_1.value == pytest.approx(1 / 3)
    assert score.pass_k.value == 1 and score.maj_k.value == 0


def test_rates_above_the_limit_are_red() -> None:
    wanted = settings(budgets=(None,), n=60)
    silent = {p.id for p in wanted.problems(COUNT)[:2]}

    def plain(task: str, id_: str, request: ChatRequest) -> str:
        return "Hm." if id_ in silent else right(task, id_, request)

    outputs = run(Fake(wanted, plain=plain), wanted)
    score = next(s for s in scores_of(wanted, outputs) if s.cell.mode == "no_think")
    assert score.rates.unparsed == pytest.approx(2 / 60) and score.rates.unparsed > RED
    result = result_of(manifest_of(ModelCard(name="m", capability="hybrid"), wanted, ""), outputs)
    assert "🔴 3.3 %" in markdown(result) and "count, no_think: 3.3 % not read (more than 2 %)." in markdown(result)
    assert "<td class=red>3.3 %</td>" in html(result) and html(result).count("class=red>") == 1


# -- running --------------------------------------------------------------------------------------------------------


def test_many_requests_are_in_flight() -> None:
    wanted = settings(n=12, levels=(4,))
    gate = threading.Event()

    class Slow(Fake):
        def stream(self, request: ChatRequest) -> Stream:
            super().stream(request)
            if len(self.requests) == 8:  # the first seven wait until there are eight
                gate.set()
            return Stream(self.events(request), gate)

    assert len(run(Slow(wanted), wanted, in_flight=8)) == 60


def test_the_first_error_ends_the_run_cancels_the_rest_and_keeps_what_was_finished() -> None:
    wanted, never = settings(n=12, levels=(4,)), threading.Event()
    kept, streams = [], []

    class Failing(Fake):
        def stream(self, request: ChatRequest) -> Stream:
            super().stream(request)
            if len(self.requests) > 4:
                while len(kept) < 2:
                    time.sleep(0.001)
                raise UserError("the model refuses")
            streams.append(Stream(self.events(request), never if len(self.requests) > 2 else None))
            return streams[-1]

    with pytest.raises(UserError, match="refuses"):
        run(Failing(wanted), wanted, in_flight=5, keep=kept.append)
    assert len(kept) == 2 and [s.cancelled.is_set() for s in streams] == [False, False, True, True]


def test_what_was_kept_is_not_asked_again(tmp_path: Path) -> None:
    wanted = settings()
    manifest = manifest_of(ModelCard(name="m", capability="hybrid"), wanted, "")
    path = files.unfinished(tmp_path / "r.json")
    with files.begin(path, manifest, ()) as file:
        outputs = run(Fake(wanted, cut=wrong), wanted)
        for output in outputs[:50]:
            files.append(file, output)
    with path.open("ab") as file:
        file.write(b'{"task": "cou')  # the machine went down
    done = files.resume(path, manifest)
    assert done == outputs[:50]
    model = Fake(wanted, cut=wrong)
    assert run(model, wanted, done=done) == outputs
    assert len(model.requests) == len(outputs) - 50


def test_a_run_of_something_else_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    card = ModelCard(name="m", capability="hybrid", files={"a": "1"})
    files.begin(path, manifest_of(card, settings(), ""), ()).close()
    with pytest.raises(UserError, match=r"settings.seed: 0 was, 4 is.*[Dd]elete"):
        files.resume(path, manifest_of(card, settings(seed=4), ""))
    other = ModelCard(name="m", capability="hybrid", files={"a": "2"})
    with pytest.raises(UserError, match=r"model\.files"):
        files.resume(path, manifest_of(other, settings(), ""))
    path.write_text("nonsense\n")
    with pytest.raises(UserError, match="no unfinished run"):
        files.resume(path, manifest_of(card, settings(), ""))


def test_a_result_is_read_back_as_it_was(tmp_path: Path) -> None:
    wanted = settings(samples=2, n=6)
    result = result_of(manifest_of(ModelCard(name="m", capability="hybrid"), wanted, "x"), run(Fake(wanted), wanted))
    files.save(result, tmp_path / "r.json")
    assert files.load(tmp_path / "r.json") == result
    assert not differences(result.manifest, files.load(tmp_path / "r.json").manifest)
    assert {held.cell for held in result.manifest.sampling} == set(wanted.cells(COUNT))
    assert result.manifest.checked["count"][0] > 500
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(UserError, match="no result of `ponder eval --json`"):
        files.load(tmp_path / "r.json")


def test_jobs_are_in_the_order_of_the_report() -> None:
    jobs = jobs_of(settings(tasks=("count", "add"), n=3))
    assert [j.task.name for j in jobs] == ["count"] * 15 + ["add"] * 15


def test_the_page_draws_each_point_and_no_name_on_another() -> None:
    wanted = settings(budgets=(0, 4, None))
    outputs = run(Fake(wanted, cut=wrong), wanted)
    without = next(s for s in scores_of(wanted, outputs) if s.cell.mode == "no_think")
    points = [p for p in curve_of(wanted, outputs) if p.level is None]
    drawn = curve_figure(points, without, chance=1.0)  # no step, no thoughts and thinking all end at 100 %
    heights = sorted(float(y) for y in re.findall(r'<text x="438[^"]*" y="([^"]+)"', drawn))
    assert len(heights) == 3 and min(b - a for a, b in pairwise(heights)) >= 13
    assert drawn.count("<circle") == 3 and parts_figure(points).count("<circle") == 3 + 2 + 2
