"""Figures that compare runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from dlcli.api import train
from dlcli.config.load import load_config
from dlcli.plots import style
from dlcli.plots.comparison import compare_figure
from dlcli.runs.run import open_run


def test_a_figure_shows_the_validation_metrics_of_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []

    def keep(figure: Figure, *_: object) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr(style, "render", keep)
    runs = []
    for lr in ("0.1", "0.2"):
        result = train(load_config("digits", ["training.epochs=2", f"optimizer.lr={lr}"]), run_dir=tmp_path / lr)
        runs.append(open_run(result.run))
    compare_figure(runs, tmp_path / "figure.png")
    (figure,) = figures
    assert [axes.get_ylabel() for axes in figure.axes] == ["validation accuracy", "validation loss"]
    for axes, metric in zip(figure.axes, ["val/accuracy", "val/loss"], strict=True):
        assert {text.get_text() for text in axes.texts} == {"lr 0.1", "lr 0.2"}
        for line, run in zip(axes.lines, runs, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), [row[metric] for row in run.rows])
    assert figure.get_supxlabel() == "digits · 64-64-10 sigmoid · sgd momentum 0.9 cosine · 0.1, 0.2"
