"""Contents of the pages about groups of seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from groups import make_group, make_logs

from dlcli.evaluation.group import measure_group
from dlcli.evaluation.group_comparison import compare_groups
from dlcli.report import tables
from dlcli.report.group import render_group, write_group_report
from dlcli.report.group_comparison import render_group_comparison
from dlcli.report.html import number
from report.test_page import Page


def test_a_page_shows_every_value_and_statistic(clean_place: Path) -> None:
    group = make_group(diverged=[3])
    Path(group.path).mkdir(parents=True)
    result = write_group_report(group, make_logs(group))
    assert (result.file, result.bytes) == (f"{group.path}/report.html", Path(result.file).stat().st_size)
    page = Page(Path(result.file).read_text(encoding="utf-8"))
    assert "1 of 10 seeds diverged (3)" in page.text
    assert "dlcli train -c digits --seeds 10 --eval" in page.text
    for spread in measure_group(group).metrics.values():
        for value in (*spread.values.values(), spread.mean, spread.sd, spread.least, spread.median, spread.most):
            assert number(value) in page.text
    alts = [str(image["alt"]) for image in page.all("img")]
    assert [alt.split()[0].rstrip(",") for alt in alts] == [
        *("test/accuracy", "val/accuracy", "train/loss", "val/loss", "val/accuracy")
    ]
    assert "3 –" in alts[0], "a seed that diverged has no value"


def test_a_page_without_plots_names_the_command_that_adds_them() -> None:
    group = make_group()
    page = Page(render_group(group, None))
    assert f"Add plots of these values and of all curves to this page: dlcli report {group.path}" in page.text
    assert list(page.all("img")) == []
    assert "Training curves" not in page.text


def test_the_time_for_a_page_does_not_grow_with_the_square_of_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = []

    class Counted(tables.Cell):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            cells.append(self)

    monkeypatch.setattr(tables, "Cell", Counted)
    render_group(make_group(seeds=range(50)), None)
    few = len(cells)
    render_group(make_group(seeds=range(100)), None)
    assert few < len(cells) - few < 2 * few


def test_a_page_says_that_seeds_are_unfinished() -> None:
    group = make_group(unfinished=[8, 9])
    page = Page(render_group(group, make_logs(group)))
    assert "This group did not finish (interrupted). 2 of 10 seeds are unfinished" in page.text
    assert "of 8 seeds on test" in page.text


def test_a_group_without_epochs_has_a_page() -> None:
    empty = [replace(record, train=None, val={}, test=None, epochs=0) for record in make_group().seeds]
    group = replace(make_group(), seeds=empty, status="unfinished")
    assert "No seed has a result." in Page(render_group(group, {})).text


def test_a_comparison_shows_the_verdict_and_every_pair() -> None:
    groups = [make_group(), make_group("digits", ["optimizer.lr=0.1"], name="x", better=-2, diverged=[0])]
    comparison = compare_groups(groups)
    page = Page(render_group_comparison(comparison, groups, [make_logs(group) for group in groups]))
    assert comparison.statement in page.text
    assert "test/loss decides: the monitored metric" in page.text
    for value in comparison.paired.difference.values.values():
        assert number(value) in page.text
