"""Figures of studies: valid files for any results."""

from __future__ import annotations

import io
import itertools
import xml.etree.ElementTree as ET

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from studies.made_up import LATE, NEVER, SOON, make_results, make_training

from dlcli.config.files import read_source
from dlcli.lecture.studies.catalogue import STUDIES
from dlcli.lecture.studies.figure import compose, draw_study
from dlcli.lecture.studies.results import StudyResults, VariantResults
from dlcli.lecture.studies.vary import vary_settings
from dlcli.plots.style import drawing


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if study.curve == "val"])
def test_every_figure_is_a_png_and_an_svg_even_if_training_diverged(name: str) -> None:
    labels = [variant.label for variant in STUDIES[name].variants]
    kinds = [[SOON, LATE], [None, None], [NEVER, None], [SOON, SOON], [LATE, NEVER]]
    curves = {label: kinds[i % len(kinds)] for i, label in enumerate(labels)}
    files = draw_study(make_results(name, curves, dict.fromkeys(labels, (0.9, 0.95))))
    assert set(files) == {"figure.png", "figure.svg"}
    pixels = imread(io.BytesIO(files["figure.png"]))
    assert pixels.shape[:2] == (720, 1500)
    assert pixels[..., :3].std() > 0.01, "the figure is blank"
    assert ET.fromstring(files["figure.svg"]).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_figure_can_be_drawn_if_every_training_diverged() -> None:
    labels = ("cross-entropy", "squared error")
    curves = {label: [None, None] for label in labels}
    assert draw_study(make_results("mse-vs-cross-entropy", curves, dict.fromkeys(labels, (0.9, 0.9))))


def test_a_figure_states_its_data_model_optimizer_and_study(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []

    def keep(figure: Figure, *_: object) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr("dlcli.lecture.studies.figure.render", keep)
    labels = ("softmax", "L1 norm")
    results = make_results("softmax-vs-l1", {label: [SOON, LATE] for label in labels}, dict.fromkeys(labels, (0.9, 1)))
    draw_study(results)
    assert figures[0].get_supxlabel() == (
        "digits · 64-64-64-10 sigmoid · sgd lr 0.1 · mean ± standard deviation over 2 seeds · study softmax-vs-l1"
    )


def test_the_names_in_the_figure_of_a_grid_do_not_overlap() -> None:
    inits = ("default", "normal", "zeros", "xavier_uniform", "kaiming_uniform", "kaiming_normal")
    vary = ["model.activation=sigmoid,leaky_relu", f"model.init={','.join(inits)}"]
    study = vary_settings(vary, read_source("digits"))
    variants = tuple(
        VariantResults(
            design.label,
            {"model.hidden_sizes": (64,)},
            ("digits", "64-64-10", "sgd"),
            0.1,
            {},
            tuple(make_training(seed, SOON, 0.9) for seed in (1, 2)),
            (None, None),
        )
        for design in study.variants
    )
    with drawing():
        figure = compose(StudyResults(study, "digits", "accuracy", "", None, 4, 0, (1, 2), (), variants))
        FigureCanvasAgg(figure).draw()
    left, right = figure.axes
    assert [tick.get_text() for tick in right.get_xticklabels()] == [init.replace("_", " ") for init in inits]
    assert (right.get_ylabel(), right.get_xlabel()) == ("activation", "init")
    names = [text for text in left.texts if text.get_text() in {variant.short for variant in study.variants}]
    assert len(names) == 12
    boxes = [text.get_window_extent() for text in names]
    assert max(box.x1 for box in boxes) < right.get_tightbbox().x0
    boxes.sort(key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 2 for below, above in itertools.pairwise(boxes))


def test_the_resolution_of_a_figure_can_be_chosen() -> None:
    labels = ("softmax", "L1 norm")
    results = make_results("softmax-vs-l1", {label: [SOON, LATE] for label in labels}, dict.fromkeys(labels, (0.9, 1)))
    assert imread(io.BytesIO(draw_study(results, 300)["figure.png"])).shape[:2] == (1440, 3000)


def test_the_same_results_give_the_same_bytes() -> None:
    labels = ("softmax", "L1 norm")
    curves = {label: [SOON, LATE] for label in labels}
    results = make_results("softmax-vs-l1", curves, dict.fromkeys(labels, (0.9, 0.95)))
    assert draw_study(results) == draw_study(results)
