"""Plots of sweeps: positions of the trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("optuna", reason="needs the extra sweep")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sweep_examples import MIXED, load, run_trials

from dlcli.plots.style import drawing
from dlcli.plots.sweep import best_so_far, draw_history, draw_importances, draw_pruning, draw_slice
from dlcli.plots.sweep_lines import MOST_AXES, draw_parallel, order_parameters
from dlcli.sweeps.describe import list_settings, name_options, name_parameters
from dlcli.sweeps.records import TrialRecord
from dlcli.sweeps.trials import read_trials

SWEEP = load()
NAMES = name_parameters(SWEEP.space)
PARAMETERS = {parameter.name: parameter for parameter in SWEEP.space.parameters}


@pytest.fixture(scope="module")
def records() -> Sequence[TrialRecord]:
    return read_trials(run_trials(SWEEP, MIXED), SWEEP)


def points(figure: Figure, label: str) -> np.ndarray:
    """Return the positions of the points with a label."""
    (axes,) = figure.axes
    (chosen,) = [part for part in axes.collections if str(part.get_label()).startswith(label)]
    return np.asarray(chosen.get_offsets())


def test_the_history_shows_every_trial_and_the_best_so_far(records: Sequence[TrialRecord]) -> None:
    figure = draw_history(records, "val/accuracy", higher_is_better=True)
    for state in ("finished", "pruned", "diverged"):
        expected = [
            (record.number, record.value) for record in records if record.state == state and record.value is not None
        ]
        assert np.allclose(points(figure, state), expected)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "best so far")
    finished = [record.value for record in records if record.state == "finished" and record.value is not None]
    assert np.allclose(line.get_ydata()[:-1], np.maximum.accumulate(finished))
    assert line.get_ydata()[-1] == max(finished)
    lowest = best_so_far(records, higher_is_better=False)
    assert np.allclose([*lowest.values()], np.minimum.accumulate(finished))


def test_a_slice_shows_the_trials_that_have_the_setting(records: Sequence[TrialRecord]) -> None:
    having = [record for record in records if record.state == "finished" and "optimizer[1].lr" in record.parameters]
    figure = draw_slice(records, PARAMETERS["optimizer[1].lr"], NAMES["optimizer[1].lr"], "val/accuracy")
    assert np.allclose(
        points(figure, "finished"), [(record.parameters["optimizer[1].lr"], record.value) for record in having]
    )
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_xlim()[0] < 1e-4 < 1e-1 < figure.axes[0].get_xlim()[1]


def test_choices_are_categories(records: Sequence[TrialRecord]) -> None:
    parameter = PARAMETERS["model.hidden_sizes"]
    figure = draw_slice(records, parameter, "model.hidden_sizes", "val/accuracy")
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["[]", "[64]", "[64,64]"]
    finished = [record for record in records if record.state == "finished"]
    places = [parameter.choices.index(record.parameters["model.hidden_sizes"]) for record in finished]
    assert np.allclose(np.round(points(figure, "finished")[:, 0]), places)


def test_parallel_lines_end_where_a_trial_does_not_have_the_setting(records: Sequence[TrialRecord]) -> None:
    parameters = order_parameters(list(PARAMETERS.values()), {"model.hidden_sizes": 0.8, "optimizer": 0.2})
    assert [parameter.name for parameter in parameters[:2]] == ["model.hidden_sizes", "optimizer"]
    assert all(parameter.condition for parameter in parameters[4:])
    figure = draw_parallel(records, parameters, NAMES, "val/accuracy", higher_is_better=True)
    shown = [record for record in records if record.state in ("finished", "pruned")]
    lines = [np.asarray(line.get_ydata()) for line in figure.axes[0].lines if len(line.get_ydata()) == 9]
    assert len(lines) == len(shown) == 22
    ordered = sorted(shown, key=lambda record: (record.state == "finished", record.number))
    for record, line in zip(ordered, lines, strict=True):
        assert [bool(math.isfinite(height)) for height in line[1:]] == [
            parameter.name in record.parameters for parameter in parameters
        ]
        assert np.nanmin(line) >= 0
        assert np.nanmax(line) <= 1
        if "optimizer[0].lr" in record.parameters:
            place = 1 + [parameter.name for parameter in parameters].index("optimizer[0].lr")
            assert line[place] == pytest.approx(math.log10(record.parameters["optimizer[0].lr"] / 1e-3) / 3)


def test_parallel_coordinates_have_few_axes() -> None:
    many = load(space={f"optimizer.{name}": [0.1, 0.2] for name in ("lr", "momentum")})
    parameters = [many.space.parameters[0]] * 30
    assert len(order_parameters(parameters, {})) == MOST_AXES


def test_pruned_trials_are_counted_by_epoch(records: Sequence[TrialRecord]) -> None:
    (axes,) = draw_pruning(records).axes
    pruned = [record.epochs for record in records if record.state == "pruned"]
    assert [bar.get_height() for bar in axes.patches] == [pruned.count(1), pruned.count(3), 11]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "3", "not\npruned"]


def test_hard_cases_can_be_drawn() -> None:
    for states in (["never"], ["finished"], ["pruned"] * 2):
        records = read_trials(run_trials(SWEEP, states), SWEEP)
        with drawing():
            FigureCanvasAgg(draw_history(records, "val/loss", higher_is_better=False)).draw()
            shown = next(parameter for parameter in PARAMETERS.values() if parameter.name in records[0].parameters)
            FigureCanvasAgg(draw_slice(records, shown, "x" * 100, "val/loss")).draw()
    with drawing():
        FigureCanvasAgg(draw_importances({"$x^2$": 1.0, "y": 0.0})).draw()


def test_names_are_short_and_unique() -> None:
    assert NAMES["optimizer[0].lr"] == "optimizer.lr (sgd)"
    assert NAMES["optimizer.weight_decay[1]"] == "optimizer.weight_decay (1e-06 to 0.01)"
    assert name_options(("0", '{"log":true,"max":0.01,"min":1e-06}')) == ["0", "1e-06 to 0.01"]
    assert name_options(('{"lr":1,"name":"sgd"}', '{"lr":2,"name":"sgd"}')) == ["sgd (1)", "sgd (2)"]
    assert name_options((True, None, "[x", 0.5)) == ["true", "null", '"[x"', "0.5"]
    settings = {"optimizer": {"lr": 0.123456, "name": "adam"}, "model.hidden_sizes": [64, 64]}
    assert [*list_settings(settings).items()] == [
        ("optimizer.name", "adam"),
        ("optimizer.lr", "0.1235"),
        ("model.hidden_sizes", "[64,64]"),
    ]
