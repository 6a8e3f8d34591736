"""Footer of every picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dlcli.plots import gallery
from dlcli.plots.gallery import pictures
from dlcli.plots.style import add_footer, drawing, new_axes
from dlcli.report.html import embed
from dlcli.runs.trained_run import TrainedRun

Get: TypeAlias = Callable[[str], TrainedRun]


@pytest.mark.parametrize("name", ["digits", "linear", "spirals", "diabetes", "sine"])
def test_every_picture_has_a_footer_that_overlaps_nothing(
    trained: Get, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []

    def keep(figure: Figure, *_: object) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr(gallery, "render", keep)
    for picture in pictures(trained(name)):
        picture.render("png")
        figure = figures.pop()
        with drawing():
            canvas: Any = FigureCanvasAgg(figure)
            canvas.draw()
            renderer = canvas.get_renderer()
            (footer,) = (text for text in figure.texts if text.get_text() == figure.get_supxlabel())
            box = footer.get_window_extent(renderer)
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.width, picture.name
            for axes in figure.axes:
                drawn = axes.get_tightbbox(renderer)
                assert drawn is not None
                assert drawn.y0 >= box.y1 - 1, picture.name


def test_a_footer_names_data_model_optimizer_and_run(trained: Get) -> None:
    (picture,) = pictures(trained("digits"), ["loss"])
    assert picture.setup == ("digits", "64-64-10, sigmoid", "sgd, lr 0.2, momentum 0.9, cosine")
    assert picture.run_name == "run"
    (picture,) = pictures(trained("spirals"), ["loss"])
    assert picture.setup[0] == "synthetic_classification, spirals"


def test_a_footer_of_several_runs_states_what_they_share() -> None:
    figure, _ = new_axes("Title")
    setups = [("digits", "64-10, sigmoid", f"sgd, lr {lr}, momentum 0.9") for lr in ("0.1", "0.2")]
    add_footer(figure, setups, "2 runs")
    assert figure.get_supxlabel() == "digits · 64-10 sigmoid · sgd momentum 0.9 · 2 runs"
    add_footer(figure, setups[:1], "\x1b[31m" + "x" * 300)
    lines = figure.get_supxlabel().split("\n")
    assert "\x1b" not in "".join(lines)
    assert sum(map(len, lines)) < 160


def test_pictures_embedded_in_pages_have_no_footer(trained: Get) -> None:
    (picture,) = pictures(trained("digits"), ["learning_rate"])
    figure = picture.draw()
    assert embed(picture.title, picture.alt, lambda: figure).source
    assert figure.get_supxlabel() == ""
