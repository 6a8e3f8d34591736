"""Results of sweeps: their text, their JSON, and the page of a small real sweep."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs the extra sweep")

from conftest import Finished
from sweep_examples import load, make_contents

from dlcli.cli.output import print_result
from dlcli.cli.sweep_page import sweep_page
from dlcli.report.sweep import render_sweep
from dlcli.sweeps.results import best_text
from dlcli.text import PAGE, width_of

SMALL = """
extends: digits
training: {epochs: 2}
model: {hidden_sizes: [8]}
plots: always
sweep:
  space: {optimizer.lr: {min: 1e-2, max: 1, log: true}, model.activation: [relu, sigmoid]}
  metric: val/accuracy
  trials: 4
  confirm_seeds: 2
"""

TEXT = """\
sweep     sweeps/digits/20261128T0825Z-ab12
status    finished
trials    24: 11 finished, 11 pruned, 2 diverged
epochs    118 trained, 82 saved by pruning
note      not reproducible in parallel; sweep.generation=8 would be

best trials               trial 0    trial 8  trial 14  trial 12   trial 6
val/accuracy               0.8944     0.8767    0.7971    0.5122    0.4852
epochs                          9          9         9         9         9
model.hidden_sizes           [64]    [64,64]      [64]        []   [64,64]
optimizer.name                sgd        sgd       sgd      adam      adam
optimizer.lr              0.08663     0.1005   0.05097  0.005284  0.006524
optimizer.momentum            0.9        0.5       0.9         –         –
optimizer.weight_decay  0.0001305  1.203e-06  0.002921         0         0
training.batch_size            48         64        64        32        32

The best value, val/accuracy 0.8944, is too good to be true: trial 0 was chosen
for it.

importance          share of the variation
model.hidden_sizes                    80 %
optimizer                             20 %

confirmed mean val/loss with fresh seeds: best trial 0.1891, unchanged config
          0.2029
verdict   no clear difference: P(best trial better than unchanged config) is
          0.80, 95 % interval 0.50 to 1.00; 29 seeds tell a P of 0.75 from 0.5
          with 5 % errors of both kinds
next      dlcli train -c sweeps/digits/20261128T0825Z-ab12/best.yaml
"""


def printed(capsys: pytest.CaptureFixture[str], parts: object) -> str:
    print_result(*parts)  # type: ignore[misc]
    return capsys.readouterr().out


def test_a_sweep_is_shown_at_a_glance(capsys: pytest.CaptureFixture[str]) -> None:
    result = replace(make_contents(load()).result, importances={"model.hidden_sizes": 0.8, "optimizer": 0.2})
    text = printed(capsys, sweep_page(result))
    assert all(width_of(line) <= PAGE for line in text.splitlines())
    assert text == TEXT


def test_a_best_trial_that_is_worse_than_the_unchanged_config_is_not_recommended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    contents = make_contents(load())
    assert contents.result.confirmation is not None
    worse = replace(contents.result, confirmation=replace(contents.result.confirmation, better="unchanged config"))
    text = printed(capsys, sweep_page(worse))
    assert text.endswith(
        "advice    keep the unchanged config: best.yaml is no improvement\n"
        f"next      dlcli sweep --resume {worse.sweep} sweep.trials=48\n"
    )
    assert "best.yaml" not in render_sweep(replace(contents, result=worse), has_plots=False)
    assert "worse than the unchanged config" in best_text(contents.sweep, worse)
    assert "worse" not in best_text(contents.sweep, contents.result)


def test_a_sweep_without_a_finished_trial_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, sweep_page(make_contents(load(generation=8), ["pruned"], is_confirmed=False).result))
    assert "status    paused\ntrials    24: 1 pruned, 23 waiting\n" in text
    assert "reproducible" not in text
    assert text.endswith("no trial has finished\n\nnext      dlcli sweep --resume sweeps/digits/20261128T0825Z-ab12\n")


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_ends_with_its_page_and_is_shown_again(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    Path("tune.yaml").write_text(SMALL)
    done = dlcli("sweep", "-c", "tune.yaml")
    assert done.code == 0, done.err
    (page,) = Path().glob("sweeps/tune/*/report.html")
    assert f"note: wrote {page}\n" in done.err
    (page.parent / "journal.lock").unlink()
    before = content_of(page.parent)
    shown = dlcli("sweep", "show", "tune", "--html", "again.html")
    assert content_of(page.parent) == before, "the folder may be one that cannot be written"
    assert shown.out == f"{done.out}wrote     again.html\n"
    assert Path("again.html").read_bytes() == page.read_bytes()
    record = json.loads(dlcli("sweep", "show", "tune", "--html", "again.html", "--json").out)
    summary = json.loads((page.parent / "summary.json").read_text())
    assert record == {**summary, "file": "again.html"}
    assert record["best_trials"][0] == record["best"]

    refused = dlcli("report", "tune")
    assert refused.code == 2
    assert f"hint: write the page of this sweep with `dlcli sweep show {page.parent} --html FILE`" in refused.err
    assert "hint: list the runs" in dlcli("report", "other").err
    refused = dlcli("sweep", "-c", "tune.yaml", "--html", "page.html")
    assert (refused.code, Path("page.html").exists()) == (2, False)


def test_a_sweep_can_be_shown_before_its_end(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    Path("tune.yaml").write_text(SMALL)
    done = dlcli("sweep", "-c", "tune.yaml", "sweep.seconds=1e-3", "plots=never")
    assert done.code == 0, done.err
    assert list(Path().glob("sweeps/tune/*/report.html")) == []
    assert "no trial has finished" in dlcli("sweep", "show", "tune", "--html", "page.html").out
    assert "This sweep is not finished." in Path("page.html").read_text(encoding="utf-8")
