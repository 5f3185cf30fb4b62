"""The peer comparison: what is asked of the engines, the arithmetic of the report, and a whole run of Ponder's part."""

import json
import sys
from pathlib import Path

import ledger
import models
import peer_cases as cases
import pytest
import report
import run


def row(number: int, entrant: str, **results: float) -> dict[str, object]:
    result = {"load_s": 0.5, "peak_mb": 900 + number, "results": results}
    return {"round": number, "entrant": entrant, "started": 1_795_000_000 + number, "result": result}


ROWS = [
    row(0, "dense ponder int4", decode1=50.0, prefill512=900.0),
    row(0, "dense llama Q4_0", decode1=20.0, prefill512=300.0),
    row(0, "dense vllm bf16", decode1=16.0, prefill512=600.0),
    row(1, "dense ponder int4", decode1=70.0, prefill512=1000.0),
    row(1, "dense llama Q4_0", decode1=28.0, prefill512=300.0),
    {"round": 1, "entrant": "dense vllm bf16", "started": 1_795_000_009, "error": "it fell over"},
]


def test_medians_leave_failures_out() -> None:
    found = report.medians(ROWS)
    assert found["dense ponder int4"] == {"decode1": 60.0, "prefill512": 950.0, "load_s": 0.5, "peak_mb": 900.5}
    assert found["dense vllm bf16"]["decode1"] == 16.0


def test_ratios_are_against_the_best_peer_of_any_precision() -> None:
    lines = report.ratios(report.medians(ROWS))
    assert lines == [
        ["decode 1", "Ponder int4", 60.0, "llama.cpp Q4_0", 24.0, "2.50", "2.5 reached"],
        ["prefill 512", "Ponder int4", 950.0, "vLLM CPU bf16", 600.0, "1.58", "2.0 missed"],
    ]


def test_a_report_is_written_as_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "runs.jsonl"
    log.write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    report.write(log, tmp_path)
    assert sorted(f.name for f in tmp_path.glob("*.json")) == ["peers-dense.json", "ratios.json"]
    tables = ledger.tables(tmp_path)
    assert "| **Ponder** | int4 | 60.0 | 950 | 0.50 | 900 |" in tables["peers-dense"]
    assert "up to 2 interleaved rounds" in tables["ratios"]
    assert "failed: dense vllm bf16, round 1: it fell over" in capsys.readouterr().out


def test_cases_are_named_as_in_ponder_bench() -> None:
    from ponder.cli.benchmark.cases import parse_cases

    for entrant in run.ENTRANTS:
        ours = [(c.name, c.kind, c.size, c.context) for c in parse_cases(entrant.cases)]
        for (name, kind, streams, length), (our_name, our_kind, size, context) in zip(cases.parse(entrant.cases), ours):
            assert (name, kind) == (our_name, our_kind)
            assert (streams, length) == ((size, context) if kind == "decode" else (1, size))


def test_every_entrant_has_a_worker_and_a_model() -> None:
    assert len({e.name for e in run.ENTRANTS}) == len(run.ENTRANTS)
    for entrant in run.ENTRANTS:
        words = run.command(entrant, Path("root"), 2)
        worker = Path(words[1])
        assert words[1] == "-m" or worker.exists()
        assert entrant.model.split("-")[0] in models.SHAPES
        assert entrant.engine in report.NAMES and entrant.table in report.TITLES


def test_steps_time_decoding_without_the_prompts() -> None:
    """A fake engine that gives one id a step to each stream, after two steps for the prompts."""
    running: list[list[int]] = []  # [steps so far, ids wanted]

    def add(prompts: cases.Prompts, new: int) -> None:
        running.extend([0, new] for _ in prompts)

    def step() -> list[int]:
        for item in running:
            item[0] += 1
        counts = [max(0, done - 2) for done, _ in running]
        if all(count >= new for count, (_, new) in zip(counts, running)):
            running.clear()
            return []
        return counts

    engine = cases.Steps(add, step)
    assert engine.decode(4, 128) > 0 and not running
    assert engine.prefill([1, 2, 3]) > 0 and not running


@pytest.mark.timeout(240)
def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ponder's own entrant on a tiny model in place of the dense one; the results are written beside it."""
    monkeypatch.setitem(models.SHAPES, "dense", "tiny:layers=1,vocab=2048")
    monkeypatch.setattr(models, "GGUF", ())
    monkeypatch.setattr(models, "tool", lambda root, name, source, target, *kind: target.mkdir())
    monkeypatch.setattr(run, "ENTRANTS", [run.Entrant("dense", "ponder", "int8", "dense-hf", "decode1@16,prefill32")])
    monkeypatch.setattr(report.ledger, "RESULTS", tmp_path / "elsewhere")
    monkeypatch.setattr(report.write, "__defaults__", (tmp_path,))
    words = ["run.py", "--root", str(tmp_path), "--threads", "1", "--rounds"]
    monkeypatch.setattr(sys, "argv", [*words, "1"])
    run.main()
    first = (tmp_path / "runs.jsonl").read_text()
    monkeypatch.setattr(sys, "argv", [*words, "2"])
    run.main()
    both = (tmp_path / "runs.jsonl").read_text()
    assert both.startswith(first) and len(both.splitlines()) == 2
    rows = [json.loads(line) for line in both.splitlines()]
    assert [r["round"] for r in rows] == [0, 1] and all(r["result"]["results"]["decode1@16"] > 0 for r in rows)
