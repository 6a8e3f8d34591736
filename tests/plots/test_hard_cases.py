"""Plots of unusual runs and names, drawn without warnings (which are errors in these tests)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TypeAlias
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch
from torch import nn

from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.plots.gallery import pictures
from dlcli.plots.lines import draw_lines
from dlcli.plots.names import PICTURES
from dlcli.plots.style import drawing, new_axes
from dlcli.runs.trained_run import TrainedRun
from dlcli.task import Regression, build_task
from dlcli.training.events import LayerTrace, Trace

Get: TypeAlias = Callable[[str], TrainedRun]

HOSTILE = ["$x_{$", "<b>&amp;--></b>", "\x1b[31mred\x00", "鞋子", "حذاء", "🥾", "a\nb\tc", "w" * 300, "", "\ud800"]


def lay_out(run: TrainedRun, names: Collection[str] = PICTURES) -> list[str]:
    """Lay out plots without writing files; return their names."""
    drawn = pictures(run, names)
    for picture in drawn:
        figure = picture.draw()
        with drawing():
            figure.draw_without_rendering()
    return [picture.name for picture in drawn]


def with_model(run: TrainedRun, change: Callable[[nn.Linear], object]) -> TrainedRun:
    """Return the run with changed parameters of the last layer."""
    model = nn.Sequential(*run.model[:-1], nn.Linear(run.model[-1].in_features, run.model[-1].out_features))
    with torch.no_grad():
        change(model[-1])
    return replace(run, model=model)


def test_class_names_of_users_are_shown_as_text_and_fit(trained: Get) -> None:
    run = trained("digits")
    info = replace(run.info, class_names=tuple(HOSTILE))
    hostile = replace(run, splits=replace(run.splits, info=info))
    for picture in pictures(hostile, ["confusion", "examples"]):
        content = picture.render("svg")
        ET.fromstring(content)
        width = float(ET.fromstring(content).attrib["width"].removesuffix("pt"))
        assert width < 800
        assert picture.render("png")
    assert "\x1b" not in "".join(picture.alt + picture.title for picture in pictures(hostile))
    (axes, _) = pictures(hostile, ["confusion"])[0].draw().axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "$x_{$"
    assert labels[2] == r"\x1b[31mred\x…"
    assert labels[6] == "a b c"
    assert len(labels[7]) == 14


def test_a_run_without_log_or_traces_has_the_plots_of_its_model(trained: Get) -> None:
    bare = replace(trained("spirals"), rows=[], traces={})
    assert lay_out(bare) == ["confusion", "per_class", "reliability", "regions", "simplex", "distribution"]


def test_a_single_epoch_is_visible(trained: Get) -> None:
    run = trained("linear")
    assert len(run.rows) == 1
    assert "learning_rate" in lay_out(run, ["loss", "metrics", "learning_rate", "gradients", "saturation"])
    (axes,) = pictures(run, ["loss"])[0].draw().axes
    assert all(line.get_marker() not in ("None", None) for line in axes.lines[:2])
    assert [tick for tick in axes.get_xticks() if 0.5 <= tick <= 1.5] == [1]


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_nan_in_the_log_leaves_gaps(trained: Get, name: str) -> None:
    run = trained(name)
    nothing = {key: float("nan") for key in run.rows[0] if "/" in key}
    empty = [{**row, **nothing} for row in run.rows]
    names = ["loss", "metrics", "learning_rate"]
    assert lay_out(replace(run, rows=[run.rows[0], empty[1]]), names) == names
    assert lay_out(replace(run, rows=empty), names) == names
    assert lay_out(replace(run, rows=[{"epoch": 1, "step": 1, "train/loss": 0.0, "lr": 0.0}]), names) == names


def test_classes_without_examples_or_predictions_are_labelled(trained: Get) -> None:
    run = with_model(trained("digits"), lambda last: (last.weight.zero_(), last.bias.zero_(), last.bias[3].fill_(50)))
    some = run.splits.test.select(torch.nonzero(run.splits.test.targets < 5).flatten()[:20])
    run = replace(run, splits=replace(run.splits, test=some, val=some))
    lay_out(run)
    (axes,) = pictures(run, ["per_class"])[0].draw().axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("never predicted, not in the split") == 5
    confusion = pictures(run, ["confusion"])[0].draw().axes[0]
    assert (
        np.ma.getmaskarray(np.ma.masked_invalid(confusion.images[0].get_array())).all(1).tolist()
        == [False] * 5 + [True] * 5
    )
    assert lay_out(replace(run, splits=replace(run.splits, test=some.select(torch.tensor([0]))))), "one example"


def test_error_free_predictions_have_two_rows_of_images(trained: Get) -> None:
    run = trained("digits")
    preds = run.predictions.argmax(1)
    correct = torch.nonzero(preds == run.truth(run.split)).flatten()[:3]
    run = replace(run, splits=replace(run.splits, test=run.splits.test.select(correct)))
    (picture,) = pictures(run, ["examples", "confusion"])[1:]
    assert picture.title == "Examples of test: 3 of 3 correct, 0 wrong"
    assert "Wrong" not in picture.alt
    assert pictures(run, ["confusion"])[0].alt.endswith("All examples are classified correctly.")
    lay_out(run, ["examples"])


def test_constant_predictions_and_points_are_drawn(trained: Get) -> None:
    zero = with_model(trained("sine"), lambda last: (last.weight.zero_(), last.bias.zero_()))
    lay_out(zero, ["fit", "predictions", "residuals"])
    single = Split(zero.splits.train.inputs[:1], zero.splits.train.targets[:1])
    lay_out(replace(zero, splits=replace(zero.splits, train=single, test=single)), ["fit", "predictions", "residuals"])
    flat = with_model(trained("spirals"), lambda last: (last.weight.zero_(), last.bias.zero_()))
    lay_out(flat, ["regions", "simplex", "reliability"])


@pytest.mark.parametrize("outputs", [2, 6])
def test_each_target_has_a_panel_up_to_four(trained: Get, outputs: int) -> None:
    run = trained("sine")
    generator = torch.Generator().manual_seed(0)
    parts = [
        Split(torch.randn(20, 1, generator=generator), torch.randn(20, outputs, generator=generator)) for _ in range(3)
    ]
    info = DataInfo("several", "regression", 1, outputs, target_name="force", target_unit="N")
    scaling = Scaling(torch.zeros(outputs).double(), torch.arange(1, outputs + 1).double())
    splits = Splits(info, *parts, Scaling.identity(), scaling)
    loss = run.config.loss
    several = replace(run, splits=splits, model=nn.Sequential(nn.Linear(1, outputs)), task=Regression(loss, scaling))  # type: ignore[arg-type]
    lay_out(several, ["fit", "predictions", "residuals"])
    panels = pictures(several, ["predictions"])[0].draw().axes
    assert [axes.get_xlabel() for axes in panels] == [f"true force {i} (N)" for i in range(1, min(outputs, 4) + 1)]
    truth = several.truth(several.split)[:, 1].numpy()
    np.testing.assert_allclose(np.array(panels[1].lines[1].get_xdata()), truth)
    assert ("of 6 targets" in pictures(several, ["predictions"])[0].title) == (outputs > 4)


@pytest.mark.parametrize("k", [2, 15, 45])
def test_any_number_of_classes_is_readable(trained: Get, k: int) -> None:
    run = trained("spirals")
    generator = torch.Generator().manual_seed(0)
    parts = [Split(torch.randn(3 * k, 2, generator=generator), torch.arange(3 * k) % k) for _ in range(3)]
    names = tuple(f"category {i}" for i in range(k))
    splits = Splits(DataInfo("many", "classification", 2, k, names), *parts, Scaling.identity(), Scaling.identity())
    model = nn.Sequential(nn.Linear(2, k))
    many = replace(run, splits=splits, model=model, task=build_task(run.config, splits.info, Scaling.identity()))
    assert "simplex" not in lay_out(many, ["confusion", "regions", "simplex", "distribution"])
    axes = pictures(many, ["confusion"])[0].draw().axes[0]
    assert bool(axes.texts) == (k <= 20)
    assert axes.images[0].get_array().shape == (k, k)  # type: ignore[union-attr]
    assert len(axes.get_yticks()) <= 40
    (axes,) = pictures(many, ["per_class"])[0].draw().axes
    assert len(axes.containers[0]) == min(k, 20)


def test_zero_and_nan_gradients_are_labelled_or_left_out(trained: Get) -> None:
    run = trained("digits")
    layers = (LayerTrace(0.0, 1.0, None), LayerTrace(float("nan"), 1.0, None), LayerTrace(0.5, 1.0, None))
    run = replace(run, traces={1: Trace(layers, ()), 2: Trace(layers, ())})
    assert lay_out(run, ["gradients", "saturation"]) == ["gradients"]
    (axes,) = pictures(run, ["gradients"])[0].draw().axes
    assert "always 0, below the axis: layer 1 (first)" in [text.get_text() for text in axes.texts]
    nowhere = replace(run, traces={1: Trace(layers[:1] * 2, ())})
    lay_out(nowhere, ["gradients"])


def test_labels_at_line_ends_never_overlap_or_leave_the_axes() -> None:
    _, axes = new_axes("ends")
    axes.set_ylim(0, 1)
    lines = {"a": [0.5, 0.99], "b": [0.2, 1.0], "c": [0.1, 0.98], "d": [0.9, 0.01], "e": [0.9, np.nan]}
    draw_lines(axes, [1, 2], lines, gap=0.1)
    heights = {text.get_text(): text.xy[1] for text in axes.texts}  # type: ignore[attr-defined]
    assert sorted(heights, key=heights.__getitem__) == ["d", "c", "a", "b", "e"] or heights["e"] > heights["d"]
    assert np.diff(sorted(heights.values())).min() >= 0.1 - 1e-12
    assert min(heights.values()) >= 0
    assert max(heights.values()) <= 1 + 1e-12
