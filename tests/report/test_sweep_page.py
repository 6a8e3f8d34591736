"""Contents of the page about a sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="needs the extra sweep")

from sweep_examples import MIXED, load, make_contents, run_trials

from dlcli.report import sweep as page_of_sweep
from dlcli.report.html import number
from dlcli.report.sweep import SweepContents, render_sweep, report_after_sweep
from dlcli.sweeps.results import measure_sweep
from report.test_page import HOSTILE, Page


@pytest.fixture(scope="module")
def contents() -> SweepContents:
    return make_contents(load())


@pytest.fixture(scope="module")
def html(contents: SweepContents) -> str:
    return render_sweep(contents)


def test_a_page_shows_every_trial_and_the_confirmation(contents: SweepContents, html: str) -> None:
    result, page = contents.result, Page(html)
    assert result.best is not None
    assert result.confirmation is not None
    assert contents.comparison is not None
    for record in contents.records:
        if record.value is not None:
            assert number(record.value) in page.text
    assert (
        f"best value of the search: {number(result.best.value)} val/accuracy, trial {result.best.number}" in page.text
    )
    assert "too good to be true, because the trial was chosen for it" in page.text
    assert result.confirmation.statement in page.text
    deciding = contents.comparison.metrics[contents.comparison.metric]
    for spread in (deciding.first, deciding.second, deciding.difference):
        assert all(number(value) in page.text for value in spread.values.values())
    assert "Left out, because not every trial has them: optimizer.lr (sgd), optimizer.momentum (sgd)" in page.text
    assert "dlcli sweep -c tune.yaml" in page.text


def test_pictures_have_their_numbers_as_text(contents: SweepContents, html: str) -> None:
    alts = [str(image["alt"]) for image in Page(html).all("img")]
    best = contents.result.best
    assert best is not None
    assert "11 finished, 11 pruned, 2 diverged. A step line" in alts[1]
    assert f"The best finished trial is {best.number} with {number(best.value)}." in alts[1]
    assert alts[3].startswith("Parallel coordinates of 22 trials: val/accuracy, ")
    assert len(alts) == 4 + 8 + 1, "a slice for each of 8 parameters"
    (by_optimizer,) = [alt for alt in alts if alt.startswith("val/accuracy of each trial against optimizer.lr (adam)")]
    assert "The best finished trial has 0." in by_optimizer


def test_the_same_trials_give_the_same_page(html: str) -> None:
    assert render_sweep(make_contents(load())) == html


def test_a_page_can_be_written_at_any_time() -> None:
    sweep = load(space={"optimizer.weight_decay": [0, {"min": 1e-6, "max": 1e-2, "log": True}]})
    for states in ([], ["running"], ["never", "running"], ["pruned"] * 3, ["diverged"], ["finished"]):
        contents = make_contents(sweep, states, is_confirmed=False)
        text = Page(render_sweep(contents, has_plots=len(states) < 3)).text
        assert "This sweep is not finished." in text
        assert ("No trial has finished." in text) == ("finished" not in states)
        assert ("No importances: they need 10 finished trials" in text) == any(state != "running" for state in states)


def test_a_loss_that_spans_decades_has_a_page() -> None:
    space = {"optimizer.lr": {"min": 1e-6, "max": 1, "log": True}}
    text = Page(render_sweep(make_contents(load("diabetes", space), is_confirmed=False))).text
    assert "lowest val/loss" in text


def test_a_page_without_plots_names_the_command_that_adds_them(contents: SweepContents) -> None:
    page = Page(render_sweep(contents, has_plots=False))
    assert list(page.all("img")) == []
    assert f"Add plots to this page: dlcli sweep show {contents.result.sweep} --html" in page.text


@pytest.mark.parametrize(("settings", "is_shown"), [({}, True), ({"generation": 8}, False)])
def test_a_page_says_whether_the_sweep_is_reproducible_in_parallel(settings: dict[str, Any], is_shown: bool) -> None:
    text = Page(render_sweep(make_contents(load(**settings), MIXED[:3]), has_plots=False)).text
    assert ("Not reproducible in parallel." in text) == is_shown


def test_user_text_is_escaped() -> None:
    contents = make_contents(load())
    assert contents.result.confirmation is not None
    confirmation = replace(contents.result.confirmation, statement=HOSTILE)
    result = replace(contents.result, sweep=HOSTILE, confirmation=confirmation)
    manifest = {"command": [HOSTILE], "storage": HOSTILE, "started": HOSTILE}
    html = render_sweep(replace(contents, result=result, manifest=manifest), has_plots=False)
    page = Page(html)
    assert list(page.all("script")) == []
    assert page.text.count("<script>alert(1)</script>") >= 4


def test_a_page_that_cannot_be_written_fails_no_sweep(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    sweep = load()
    study = run_trials(sweep, MIXED)
    notes: list[str] = []
    monkeypatch.setattr(page_of_sweep, "read_contents", fail)
    report_after_sweep(sweep, study, measure_sweep(sweep, study, None), notes.append, has_plots=True)
    assert notes == [
        f"could not write the report: no space left; try again with `dlcli sweep show {sweep.folder.path} --html FILE`"
    ]
