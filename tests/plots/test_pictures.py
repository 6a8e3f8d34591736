"""Contents of plots, compared with scikit-learn, NumPy and the log."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import sklearn.metrics
import torch
from PIL import Image
from sklearn.datasets import load_digits

from dlcli.plots.gallery import Picture, pictures
from dlcli.plots.names import PICTURES
from dlcli.plots.regions import grid_probabilities
from dlcli.runs.trained_run import TrainedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Get: TypeAlias = Callable[[str], TrainedRun]

ALWAYS = ["loss", "metrics", "learning_rate"]
CLASSES = ["confusion", "per_class", "reliability"]
INSIDE = ["gradients", "saturation"]
EXPECTED = {
    "digits": [*ALWAYS, *CLASSES, "examples", "weights", *INSIDE, "distribution"],
    "linear": [*ALWAYS, *CLASSES, "examples", "weights", "gradients", "distribution"],
    "spirals": [*ALWAYS, *CLASSES, "regions", "simplex", *INSIDE, "distribution"],
    "diabetes": [*ALWAYS, "predictions", "residuals", *INSIDE],
    "sine": [*ALWAYS, "fit", "predictions", "residuals", *INSIDE],
}
# Each plot once, from the run for which it shows most.
RENDERED = [(name, next(run for run in ("spirals", "sine", "digits") if name in EXPECTED[run])) for name in PICTURES]


def picture(run: TrainedRun, name: str) -> Picture:
    (result,) = pictures(run, [name])
    return result


def draw(run: TrainedRun, name: str) -> Figure:
    return picture(run, name).draw()


def line(axes: Axes, index: int) -> np.ndarray:
    return np.array(axes.lines[index].get_xydata())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_has_the_plots_that_apply_to_it_in_reading_order(trained: Get, name: str) -> None:
    results = pictures(trained(name))
    assert [result.name for result in results] == EXPECTED[name]
    for result in results:
        assert re.search(r"\d", result.alt), result.alt
        assert result.title.strip() == result.title
        assert len(result.title) < 80


@pytest.mark.parametrize(("name", "run"), RENDERED)
def test_every_plot_is_a_png_that_contains_its_title(trained: Get, name: str, run: str) -> None:
    plot = picture(trained(run), name)
    content = plot.render("png")
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 300
        assert np.asarray(image.convert("L")).std() > 5
    figure = plot.draw()
    assert figure.get_suptitle().replace("\n", " ") == plot.title
    scaled = [axes for axes in figure.axes if axes.axison]
    assert any(axes.get_xlabel() for axes in scaled) or name in ("examples", "weights", "simplex")
    assert any(axes.get_ylabel() or axes.get_legend() for axes in scaled) or name in ("examples", "simplex")


def test_rendering_is_bit_identical_and_svg_is_valid_xml(trained: Get) -> None:
    for run, name in (("spirals", "simplex"), ("digits", "per_class")):
        plot = picture(trained(run), name)
        assert plot.render("png") == picture(trained(run), name).render("png")
        content = plot.render("svg")
        assert content == picture(trained(run), name).render("svg")
        root = ET.fromstring(content)
        assert root.tag.endswith("svg")
        assert not [element for element in root.iter() if element.tag.endswith("text")], "fonts differ, paths do not"


def test_drawing_does_not_change_matplotlib_settings(trained: Get) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw(trained("digits"), "loss")
    assert dict(mpl.rcParams) == before


def test_curves_equal_the_log_and_the_star_marks_the_best_epoch(trained: Get) -> None:
    run = trained("diabetes")
    rows = [dict(row) for row in run.rows] + [
        {**run.rows[-1], "epoch": 3, "val/loss": 9.0, "lr": 0.5, "val/rmse": 90.0}
    ]
    longer = replace(run, rows=rows)
    (axes,) = draw(longer, "loss").axes
    assert line(axes, 0).tolist() == [[row["epoch"], row["train/loss"]] for row in rows]
    assert line(axes, 1).tolist() == [[row["epoch"], row["val/loss"]] for row in rows]
    best = int(np.argmin([row["val/loss"] for row in rows])) + 1
    assert line(axes, -1).tolist() == [[best, rows[best - 1]["val/loss"]]]
    assert f"best epoch {best} of 3" in picture(longer, "loss").title

    errors, r2 = draw(longer, "metrics").axes
    assert line(errors, 0)[:, 1].tolist() == [row["val/rmse"] for row in rows]
    assert line(errors, 1)[:, 1].tolist() == [row["val/mae"] for row in rows]
    assert "(points)" in errors.get_ylabel()
    assert [row["val/r2"] for row in rows] in [list(drawn.get_ydata()) for drawn in r2.lines]
    (axes,) = draw(longer, "learning_rate").axes
    assert line(axes, 0)[:, 1].tolist() == [row["lr"] for row in rows]


def test_the_learning_rate_ends_at_0_and_macro_f1_is_drawn_only_where_classes_are_unbalanced(trained: Get) -> None:
    run = trained("digits")
    rows = [
        {**row, "lr": lr, "val/accuracy": 0.9, "val/macro_f1": 0.89}
        for row, lr in zip(run.rows, (0.2, 2e-6), strict=True)
    ]
    balanced = replace(run, rows=rows)
    assert picture(balanced, "learning_rate").title == "Learning rate: cosine, from 0.2 to 0"
    assert "macro F1" not in picture(balanced, "metrics").alt
    without_zeros = torch.nonzero(run.splits.train.targets).flatten()
    unbalanced = replace(balanced, splits=replace(run.splits, train=run.splits.train[without_zeros]))
    assert "macro F1" in picture(unbalanced, "metrics").alt
    counts = [len(draw(plotted, "metrics").axes[0].lines) for plotted in (balanced, unbalanced)]
    assert counts[1] == counts[0] + 1


def test_the_best_epoch_has_the_best_monitored_metric(trained: Get) -> None:
    run = trained("linear")
    rows = [{**run.rows[0], "epoch": i, "val/loss": -i, "val/accuracy": a} for i, a in ((1, 0.5), (2, 0.75), (3, 0.75))]
    plot = picture(replace(run, rows=rows), "loss")
    assert plot.title == "Loss: best epoch 2 of 3, by highest val/accuracy"
    (axes,) = plot.draw().axes
    assert line(axes, -1).tolist() == [[2, -2]]


def test_the_confusion_matrix_equals_scikit_learns(trained: Get) -> None:
    run = trained("digits")
    labels, preds = run.truth(run.split).numpy(), run.predictions.argmax(1).numpy()
    expected = sklearn.metrics.confusion_matrix(labels, preds)
    axes = draw(run, "confusion").axes[0]
    shown = np.zeros_like(expected)
    for text in axes.texts:
        column, row = text.get_position()
        shown[int(row), int(column)] = int(text.get_text())
    assert shown.tolist() == expected.tolist()
    fractions = sklearn.metrics.confusion_matrix(labels, preds, normalize="true")
    np.testing.assert_allclose(axes.images[0].get_array(), fractions)
    correct = int((labels == preds).sum())
    assert f"{correct} of {len(labels)} correct" in picture(run, "confusion").title
    wrong = expected - np.diag(expected.diagonal())
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    assert f"{i} predicted as {j}, {wrong[i, j]} times" in picture(run, "confusion").alt


def test_class_bars_equal_scikit_learn_metrics_and_class_frequencies(trained: Get) -> None:
    run = trained("digits")
    labels, preds = run.truth(run.split).numpy(), run.predictions.argmax(1).numpy()
    expected = sklearn.metrics.precision_recall_fscore_support(labels, preds)[:3]
    (axes,) = draw(run, "per_class").axes
    for container, values in zip(axes.containers, expected, strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in container], values)
    (axes,) = draw(run, "distribution").axes
    for container, name in zip(axes.containers, ("train", "val", "test"), strict=True):
        counts = np.bincount(run.truth(getattr(run.splits, name)).numpy(), minlength=10)
        np.testing.assert_allclose([bar.get_width() for bar in container], counts / counts.sum())
    assert [label.get_text() for label in axes.get_yticklabels()] == list("0123456789")


def test_reliability_equals_its_definition(trained: Get) -> None:
    run = trained("digits")
    probs, labels = run.predictions.numpy(), run.truth(run.split).numpy()
    ece, heights, counts = 0.0, [], []
    for m in range(15):
        inside = [i for i in range(len(labels)) if m / 15 < probs[i].max() <= (m + 1) / 15]
        correct = [probs[i].argmax() == labels[i] for i in inside]
        counts.append(len(inside))
        heights.append(np.mean(correct) if inside else 0)
        if inside:
            ece += len(inside) / len(labels) * abs(np.mean(correct) - np.mean([probs[i].max() for i in inside]))
    assert f"ECE {ece:.3f}" in picture(run, "reliability").title
    upper, lower = draw(run, "reliability").axes
    bars = [(bar, bar.get_height()) for container in upper.containers for bar in container]
    np.testing.assert_allclose([height for _, height in bars], [h for h, n in zip(heights, counts, strict=True) if n])
    faint = [bar.get_alpha() < 1 for bar, _ in bars]
    assert faint == [n < 20 for n in counts if n], "bins of few examples are faint"
    assert [bar.get_height() for bar in lower.containers[0]] == counts
    assert sum(counts) == len(labels)


def test_example_tiles_show_the_original_pixels(trained: Get) -> None:
    run = trained("digits")
    originals = {image.astype(np.int64).tobytes() for image in load_digits().images}
    (axes,) = draw(run, "examples").axes
    assert len(axes.images) == 18
    for tile in axes.images:
        pixels = np.asarray(tile.get_array())
        assert np.round(pixels).astype(np.int64).tobytes() in originals
        np.testing.assert_allclose(pixels, np.round(pixels), atol=1e-4)
        assert tile.get_clim() == pytest.approx((0, 16), abs=1e-4)
    alt = picture(run, "examples").alt
    wrong = alt.split("Wrong, most confident first: ")[1].split(". Uncertain")[0]
    assert wrong.count("true class") == 6
    assert "true class" not in alt.split("Wrong")[0]


def test_weight_tiles_equal_the_rows_of_the_first_layer(trained: Get) -> None:
    weight = trained("digits").model[0].weight.detach().numpy()
    by_norm = sorted(weight, key=lambda row: -np.linalg.norm(row))
    axes = draw(trained("digits"), "weights").axes[0]
    assert len(axes.images) == 36
    for tile, row in zip(axes.images, by_norm, strict=False):
        np.testing.assert_allclose(tile.get_array(), row.reshape(8, 8), rtol=1e-6)
        low, high = tile.get_clim()
        assert low == -high
    run = trained("linear")
    axes = draw(run, "weights").axes[0]
    assert [text.get_text() for text in axes.texts] == list("0123456789")
    np.testing.assert_allclose(axes.images[3].get_array(), run.model[0].weight[3].detach().reshape(8, 8), rtol=1e-6)


def barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return the barycentric coordinates of the points."""
    system = np.vstack([corners.T, np.ones(3)])
    return np.linalg.solve(system, np.vstack([points.T, np.ones(len(points))])).T


def test_simplex_points_equal_predictions_and_paths_equal_traces(trained: Get) -> None:
    run = trained("spirals")
    all_points, followed = draw(run, "simplex").axes
    corners = np.array(all_points.patches[0].get_xy())[:3]  # type: ignore[attr-defined]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, 1)
    labels, probs = run.truth(run.split).numpy(), run.predictions.numpy()
    for label, drawn in enumerate(all_points.lines[-3:]):
        np.testing.assert_allclose(barycentric(drawn.get_xydata(), corners), probs[labels == label], atol=1e-12)
    paths = np.array([trace.paths for trace in run.traces.values()])
    lines = [path for path in followed.lines if len(path.get_xdata()) == len(paths) and path.get_linestyle() == "-"]
    assert len(lines) == paths.shape[1] == 6
    for i, drawn in enumerate(lines):
        np.testing.assert_allclose(barycentric(drawn.get_xydata(), corners), paths[:, i], atol=1e-12)


def test_regions_equal_model_predictions_in_original_units(trained: Get) -> None:
    run = trained("spirals")
    x, y, probs = grid_probabilities(run)
    scaling = run.splits.input_scaling
    for row, column in ((0, 0), (3, 200), (120, 7)):
        point = (torch.tensor([[x[column], y[row]]]) - scaling.shift) / scaling.scale
        expected = run.model(point.float()).softmax(1)[0].detach()
        np.testing.assert_allclose(probs[row, column], expected, rtol=1e-4, atol=1e-6)
    (axes,) = draw(run, "regions").axes
    labels, points = run.truth(run.split).numpy(), run.inputs(run.split).numpy()
    for label, drawn in enumerate(drawn for drawn in axes.lines if drawn.get_label().startswith("class")):  # type: ignore[union-attr]
        np.testing.assert_allclose(drawn.get_xydata(), points[labels == label])
    wrong = axes.lines[-1].get_xydata()
    np.testing.assert_allclose(wrong, points[run.predictions.argmax(1).numpy() != labels])
    low, high = run.inputs(run.splits.train).numpy().min(0), run.inputs(run.splits.train).numpy().max(0)
    assert (np.array([x[0], y[0]]) < low).all()
    assert (np.array([x[-1], y[-1]]) > high).all()


def test_residuals_are_truth_minus_prediction_in_the_target_unit(trained: Get) -> None:
    run = trained("diabetes")
    truth, predicted = run.truth(run.split)[:, 0].numpy(), run.predictions[:, 0].numpy()
    assert 25 <= truth.min() <= truth.max() <= 346, "the range of the published targets"
    scatter, histogram = draw(run, "residuals").axes
    np.testing.assert_allclose(line(scatter, 0), np.stack([predicted, truth - predicted], 1))
    assert sum(bar.get_width() for bar in histogram.patches) == len(truth)  # type: ignore[attr-defined]
    (axes,) = draw(run, "predictions").axes
    np.testing.assert_allclose(line(axes, 1), np.stack([truth, predicted], 1))
    assert axes.get_xlabel() == "true disease progression (points)"
    rmse = sklearn.metrics.root_mean_squared_error(truth, predicted)
    assert picture(run, "predictions").title == f"Predictions, test: RMSE {rmse:.3g} points"


def test_the_fit_shows_the_true_and_the_learned_function_and_the_data(trained: Get) -> None:
    run = trained("sine")
    (axes,) = draw(run, "fit").axes
    by_label = {str(drawn.get_label()): np.array(drawn.get_xydata()) for drawn in axes.lines}
    truth = by_label["truth: Σ sin x"]
    np.testing.assert_allclose(truth[:, 1], np.sin(truth[:, 0]), atol=1e-6)
    x, learned = by_label["learned"].T
    inputs, targets = run.splits.input_scaling, run.splits.target_scaling
    scaled = (torch.tensor(x).unsqueeze(1) - inputs.shift) / inputs.scale
    unscaled = run.model(scaled.float()).detach() * targets.scale + targets.shift
    np.testing.assert_allclose(learned, unscaled[:, 0], rtol=1e-4, atol=1e-5)
    points = torch.cat([run.inputs(run.split), run.truth(run.split)], dim=1)
    np.testing.assert_allclose(by_label["test"], points)
    assert by_label["train"].shape == (len(run.splits.train), 2)


def test_gradients_and_saturation_equal_the_traces(trained: Get) -> None:
    run = trained("sine")
    epochs = list(run.traces)
    (axes,) = draw(run, "gradients").axes
    assert axes.get_yscale() == "log"
    for i, drawn in enumerate(axes.lines):
        expected = [[epoch, run.traces[epoch].layers[i].gradient_norm] for epoch in epochs]
        assert np.array(drawn.get_xydata()).tolist() == expected
    assert len(axes.lines) == 3
    (axes,) = draw(run, "saturation").axes
    assert [drawn.get_ydata().tolist() for drawn in axes.lines] == [  # type: ignore[union-attr]
        [run.traces[epoch].layers[i].saturated for epoch in epochs] for i in range(2)
    ]
