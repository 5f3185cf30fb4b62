"""Results side by side: differences, stages, languages; answers known before; endpoints that fail; judges."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from fake_model import Fake, Stream, finish, right

from ponder.core.errors import UpstreamError, UserError
from ponder.core.event import Event, TextDelta
from ponder.core.request import ChatRequest
from ponder.data.languages import languages as known_languages
from ponder.data.languages import of_code
from ponder.eval import run as running
from ponder.eval.cache import Cache
from ponder.eval.compare import compare
from ponder.eval.figure import curve_figure
from ponder.eval.judge import Pair, judge, summary
from ponder.eval.manifest import ModelCard, Result, load, manifest_of, result_of, save
from ponder.eval.report import html
from ponder.eval.run import run
from ponder.eval.settings import Settings
from ponder.eval.statistics import difference
from ponder.eval.tables import comparison, heat_map, pairs_of, stages
from ponder.eval.tables import languages as table_of_languages
from ponder.tasks.table import TASKS

CARD = ModelCard(name="m", capability="hybrid")


def sometimes(share: float):  # type: ignore[no-untyped-def]
    """Right for a share of the problems, the same ones each time."""

    def say(task: str, id_: str, request: ChatRequest) -> str:
        return right(task, id_, request) if random.Random(id_).random() < share else "7777"

    return say


def settings(**values: object) -> Settings:
    return Settings(**{"tasks": ("count", "add"), "levels": (2, 3), "n": 60, "budgets": (3, None), **values})


def result(share: float, wanted: Settings | None = None) -> Result:
    asked = wanted or settings()
    fake = Fake(asked, whole=sometimes(share), cut=sometimes(share), plain=sometimes(share))
    return result_of(manifest_of(CARD, asked, "x"), run(fake, asked))


def test_a_difference_is_certain_where_its_interval_leaves_out_0() -> None:
    worse, better = result(0.5), result(0.9)
    rows = compare(worse, better)
    assert [(r.task, r.level) for r in rows[:3]] == [("count", None), ("count", 2), ("count", 3)]
    whole = rows[0]
    assert whole.change.value == pytest.approx(whole.after - whole.before) and whole.change.n == 60
    assert whole.gained > 10 and whole.lost == 0 and whole.certain
    assert not any(row.certain for row in compare(better, better))
    assert "**+" in comparison(("old", "new"), rows) and "| add | no_think | all |" in comparison(("old", "new"), rows)
    other = result(0.5, settings(tasks=("chain",)))
    with pytest.raises(UserError, match="nothing to compare"):
        compare(worse, other)


def test_the_interval_of_a_difference() -> None:
    found = difference([1.0, 0.0, 0.0, -1.0] * 25)
    assert (
        found.value == 0 and found.low == pytest.approx(-0.14, abs=0.03) and found.high == pytest.approx(0.14, abs=0.03)
    )
    nothing = difference(np.zeros(40))
    assert (
        nothing.value == 0 and nothing.high == pytest.approx(0.088, abs=0.001) and nothing.low == -(nothing.high or 0)
    )


def test_the_table_of_stages_and_the_page_of_all_curves() -> None:
    first, second = result(0.5), result(0.9)
    text = stages({"base": first, "tuned": second})
    assert "| task | base, think | base, no_think | tuned, think | tuned, no_think |" in text and "\n| add |" in text
    page = html(second, seconds=True)
    assert second.scores[0].seconds == 0
    assert page.count("handed over") == 2 and "All curves" in page and " s</text>" in page
    points = [p for p in second.curve if p.task == "count" and p.level is None]
    assert " s</text>" not in curve_figure(points, None, 0.1)


def test_a_result_is_read_without_the_data_that_was_asked(tmp_path: Path) -> None:
    """A table over results asks nothing: the package of a benchmark, or its file, may be on another machine."""
    found = result(0.5, settings())
    elsewhere = msgspec.structs.replace(found.manifest.settings, tasks=("mcp",), data={"mcp": "nowhere.toml"})
    moved = msgspec.structs.replace(found, manifest=msgspec.structs.replace(found.manifest, settings=elsewhere))
    save(moved, tmp_path / "r.json")
    assert load(tmp_path / "r.json").scores == found.scores
    with pytest.raises(UserError, match=r"nowhere\.toml"):
        elsewhere.checked()


def test_languages_as_a_heat_map() -> None:
    wanted = settings(tasks=("answer_language",), levels=(0,), n=12, budgets=(None,), modes=("no_think",))

    def german(task: str, id_: str, request: ChatRequest) -> str:
        return TASKS[task].solve("de 1 2 0")

    fake = Fake(wanted, plain=german)
    found = result_of(manifest_of(CARD, wanted, "x"), run(fake, wanted))
    page = heat_map({"m": found})
    shares = {o.language: o.ok for o in found.outputs}
    assert len(shares) > 5
    for language, ok in shares.items():
        assert (language == "de") == ok
        name = known_languages()[of_code(language) or ""].name
        assert f"<td>{name}</td><td style=" in page
    iso = [msgspec.structs.replace(o, language=(of_code(o.language) or "")[:3]) for o in found.outputs]  # deu for de
    rows = table_of_languages({"m": found, "iso": msgspec.structs.replace(found, outputs=iso)})
    assert len(rows) == len(shares) and all(set(row) == {"m, no_think", "iso, no_think"} for row in rows.values())


def test_what_was_asked_before_is_not_asked_again(tmp_path: Path) -> None:
    wanted, path = settings(n=8), tmp_path / "answers.jsonl"
    fake = Fake(wanted)
    first = run(fake, wanted, cache=Cache(path, CARD))
    again = Fake(wanted)
    cache = Cache(path, CARD)
    assert run(again, wanted, cache=cache) == first and again.requests == [] and cache.hits == len(first)
    more = settings(n=8, seed=1)  # other draws, other problems
    elsewhere = Fake(more)
    assert len(run(elsewhere, more, cache=cache)) == len(elsewhere.requests)
    other = Fake(wanted)
    run(other, wanted, cache=Cache(path, ModelCard(name="other", capability="hybrid")))
    assert len(other.requests) == len(first)
    path.write_text("x\n")
    with pytest.raises(UserError, match="no cache of answers"):
        Cache(path, CARD)


class Overloaded(Fake):
    """Refuses, or leaves half-way, so many times for each request before it answers."""

    def __init__(self, wanted: Settings, errors: Sequence[UpstreamError]) -> None:
        super().__init__(wanted)
        self.errors, self.asked = errors, dict[str, int]()

    def stream(self, request: ChatRequest) -> Stream:
        stream = super().stream(request)
        key = repr(request)
        n = self.asked[key] = self.asked.get(key, -1) + 1
        return Broken([TextDelta("1")], self.errors[n]) if n < len(self.errors) else stream


class Broken(Stream):
    def __init__(self, events: Sequence[Event], error: UpstreamError) -> None:
        super().__init__(events)
        self.error = error

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from self.events
        raise self.error


def test_an_endpoint_that_is_overloaded_or_leaves_half_way_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "FIRST_WAIT", 0.001)
    wanted = settings(n=4, budgets=(None,))
    errors = [
        UpstreamError("too many", status=429, retry_after=0.001),
        UpstreamError("it left half-way"),
        UpstreamError("x", status=502),
    ]
    overloaded = Overloaded(wanted, errors)
    assert all(o.ok for o in run(overloaded, wanted)) and set(overloaded.asked.values()) == {3}
    with pytest.raises(UpstreamError, match="no such"):
        run(Overloaded(wanted, [UpstreamError("no such model", status=404)]), wanted)
    with pytest.raises(UpstreamError, match="for ever"):
        run(Overloaded(wanted, [UpstreamError("for ever", status=429, retry_after=0)] * 99), wanted)


class Judge:
    """Says what the rule says of (first, second)."""

    def __init__(self, rule) -> None:  # type: ignore[no-untyped-def]
        self.rule, self.asked = rule, 0

    def stream(self, request: ChatRequest) -> Stream:
        self.asked += 1
        text = request.messages[0].text
        first = text.split("[Reply 1]\n")[1].split("\n")[0]
        second = text.split("[Reply 2]\n")[1].split("\n")[0]
        return Stream([TextDelta(self.rule(first, second, self.asked)), finish(request)])


PAIRS = [Pair(str(n), "Write.", "long" if n % 4 else "s", "mid") for n in range(8)]


def longer(first: str, second: str, n: int) -> str:
    return json.dumps({"better": 0 if len(first) == len(second) else 1 if len(first) > len(second) else 2})


def test_a_judge_sees_both_orders() -> None:
    found = judge(Judge(longer), PAIRS)
    assert found.win_rate.value == 6 / 8 and (found.judged, found.not_judged) == (8, 0)
    assert found.consistent == 1 and found.first == 0.5 and found.usage.prompt_tokens == 16
    assert summary(found).startswith("wins 75.0 % [")
    biased = judge(Judge(lambda first, second, n: 'I say {"better": 1}.'), PAIRS)
    assert biased.win_rate.value == 0.5 and biased.first == 1 and biased.consistent == 0


def test_a_judge_that_answers_nonsense_is_asked_again_and_then_does_not_count() -> None:
    stubborn = Judge(lambda first, second, n: "Both are good!" if "s" in (first, second) else longer(first, second, n))
    found = judge(stubborn, PAIRS, in_flight=1)
    assert (found.judged, found.not_judged) == (6, 2) and found.win_rate.value == 1
    assert stubborn.asked == 6 * 2 + 2 * 2 * 3
    forgetful = judge(Judge(lambda a, b, n: longer(a, b, n) if n % 2 == 0 else "{}"), PAIRS, in_flight=1)
    assert forgetful.judged == 8 and forgetful.usage.prompt_tokens == 32
    nobody = judge(Judge(lambda a, b, n: '{"better": 1} or {"better": 2}'), PAIRS)
    assert nobody.win_rate.value is None and nobody.not_judged == 8 and "no pair was judged" in summary(nobody)
    with pytest.raises(UserError, match="no pair"):
        judge(Judge(longer), [])


def test_pairs_are_the_answers_to_the_same_problem() -> None:
    wanted = settings(n=4, budgets=(None,))
    pairs = pairs_of(result(1.0, wanted), result(0.0, wanted))
    assert len(pairs) == 2 * 4 * 2 and {p.other for p in pairs} == {"7777"}
    assert all(p.request.startswith("user: ") and p.reply != "7777" for p in pairs)
