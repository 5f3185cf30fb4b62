"""TensorBoard's files, where it is installed."""

import pytest

from ponder.train.record.board import Board


def test_every_number_of_a_line_is_a_curve(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, losses in ((0, [3.0, 2.0, 9.0]), (2, [1.0])):  # the third step is computed again
        board = Board(tmp_path, first)
        for n, loss in enumerate(losses):
            board.write({"step": first + n, "loss": loss, "skipped": "", "reward": 0.25})
        board.close()
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert read.Tags()["scalars"] == ["loss", "reward"]
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(0, 3.0), (1, 2.0), (2, 1.0)]


def test_without_the_package_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("ponder.train.record.board.find_spec", lambda name: None)
    board = Board(tmp_path, 0)
    board.write({"step": 0, "loss": 1.0})
    board.close()
    assert not list(tmp_path.iterdir())
