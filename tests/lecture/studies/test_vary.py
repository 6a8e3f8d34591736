"""Studies of the user's own settings and configs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished, run_process

from dlcli.api import evaluate, train
from dlcli.config.files import read_source
from dlcli.lecture.studies.curves import hold_last
from dlcli.lecture.studies.plan import make_plan
from dlcli.lecture.studies.run import study
from dlcli.lecture.studies.vary import use_config, vary_settings
from dlcli.runs.run import open_run

SHORT = ("training.epochs=2", "model.hidden_sizes=[8]")


def test_the_study_of_a_setting_equals_separate_trainings(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    vary = "model.activation=relu,tanh"
    done = dlcli("study", "--vary", vary, "-c", "digits", "--seeds", "2", *SHORT, "--json")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["level"] is None
    assert record["short"].startswith("In short: ")
    for variant in record["variants"]:
        for training in variant["trainings"]:
            settings = [*SHORT, f"model.activation={variant['label']}", f"seed={training['seed']}"]
            run = train("digits", settings)
            assert training["curve"][-1] == open_run(run.run).rows[-1]["val/accuracy"]
            assert training["test"] == evaluate(run, checkpoint="last", split="test").metrics["accuracy"]


def test_two_settings_form_a_grid_whose_best_can_be_trained(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    grid = ("--vary", "optimizer.lr=0.0001,0.5", "--vary", "model.hidden_sizes=[8],[8, 8]")
    done = dlcli("study", *grid, "-c", "digits", "--seeds", "2", "training.epochs=2", "seed=3")
    assert done.code == 0, done.err
    table = ("variant", "lr 0", "use it")  # any width in a pipe
    assert all(len(line) <= 80 for line in done.out.splitlines() if not line.startswith(table)), done.out
    assert (clean_place / "studies/digits-lr-hidden_sizes/figure.png").stat().st_size > 10_000
    assert "lr 0.0001 + hidden 8-8" in done.out
    command = done.out.splitlines()[-1].removeprefix("use it    dlcli ")
    assert command.startswith("train digits training.epochs=2 seed=3 optimizer.lr=0.5 ")
    assert dlcli(*shlex.split(command)).code == 0


def test_the_paragraph_of_many_variants_is_about_the_leader(clean_place: Path) -> None:
    grid = ["model.activation=sigmoid,relu,tanh", "optimizer.lr=0.001,0.1,0.5,10"]
    record = study(vary=grid, config="digits", settings=SHORT, seeds=2).record
    assert len(record["paragraph"].split()) < 100, record["paragraph"]
    assert " has validation accuracy 0." in record["paragraph"]
    assert "with each of 2 seeds" in record["paragraph"]
    assert "The table lists all variants." in record["paragraph"]


def test_varied_data_settings_have_their_own_splits_and_equal_epochs(clean_place: Path) -> None:
    chosen = vary_settings(["training.batch_size=8,full"], read_source("digits"), ["training.epochs=null"])
    assert len({config.training.epochs for config in make_plan(chosen, (), None, 2).configs.values()}) == 1
    record = study(vary=["data.normalize=none,standard"], config="diabetes", settings=SHORT, seeds=2).record
    first, second = (variant["trainings"][0]["curve"] for variant in record["variants"])
    assert first != second


def test_another_study_of_the_same_name_goes_to_a_new_folder(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    for values in ("0.1,0.2", "0.1,0.2", "0.3,0.4"):
        assert dlcli("study", "--vary", f"optimizer.lr={values}", "-c", "digits", "--seeds", "2", *SHORT).code == 0
    found = {path.name: json.loads((path / "results.json").read_text()) for path in Path("studies").iterdir()}
    labels = {name: [variant["label"] for variant in record["variants"]] for name, record in found.items()}
    assert labels == {"digits-lr": ["lr 0.1", "lr 0.2"], "digits-lr-2": ["lr 0.3", "lr 0.4"]}


def test_the_learning_rate_study_of_a_config_finds_a_better_rate(
    dlcli: Callable[..., Finished], clean_place: Path
) -> None:
    Path("slow.yaml").write_text("data: {name: digits}\noptimizer: {lr: 0.001}\ntraining: {epochs: 3}\n")
    done = dlcli("study", "learning-rate", "-c", "slow.yaml", "--seeds", "2")
    assert done.code == 0, done.err
    assert "In short: α=1 is best: validation accuracy 0." in " ".join(done.out.split())
    assert done.out.endswith("use it    dlcli train slow.yaml optimizer.lr=1.0\n")
    piped = run_process(["study", "learning-rate", "-c", "-", "--seeds", "2"], input=Path("slow.yaml").read_text())
    assert piped.out.splitlines()[2:-2] == done.out.splitlines()[2:-3], "standard input is read once"
    rates = [variant.value for variant in use_config("learning-rate", read_source("digits")).variants]
    assert rates == sorted(rates)
    assert len(set(rates)) == len(rates)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vary", "model.activation=relu,tanh"], "--vary needs a config to start from"),
        (["--vary", "model.activation=relu", "-c", "digits"], "--vary model.activation=relu,OTHER"),
        (["--vary", "model.activation=relu,relu", "-c", "digits"], "contains relu twice"),
        (["--vary", "model.activation", "-c", "digits"], "cannot read --vary model.activation"),
        (["--vary", "optimizer.lr=1,,2", "-c", "digits"], "cannot read --vary optimizer.lr=1,,2"),
        (["--vary", "model.activation=relu,tanhh", "-c", "digits"], "tanh"),
        (["--vary", "model.activatoin=relu,tanh", "-c", "digits"], "did you mean `model.activation`?"),
        (["--vary", "seed=1,2", "-c", "digits"], "use `--seeds N`"),
        (["--vary", "training.epochs=1,2", "-c", "digits"], "training.epochs=20"),
        (["--vary", "data.name=digits,wine", "-c", "digits"], "one study per data set"),
        (["--vary", "optimizer.lr=1,2", "--vary", "optimizer.lr=3,4", "-c", "digits"], "given twice"),
        (["--vary", f"optimizer.lr={','.join(map(str, range(1, 14)))}", "-c", "digits"], "at most 12 variants"),
        (["--vary", "optimizer.lr=1,2", "-c", "digits", "optimizer.lr=3"], "which the study varies"),
        (["depth", "--vary", "optimizer.lr=1,2", "-c", "digits"], "leave out the name or --vary"),
        (["closed-form-vs-sgd", "-c", "digits"], "needs its own config"),
        (["depth", "-c", "digits", "--data", "digits"], "remove `--data`"),
        (["-c", "digits"], "a study needs a name or --vary"),
    ],
)
def test_invalid_questions_are_reported_before_any_training(
    dlcli: Callable[..., Finished], clean_place: Path, arguments: list[str], message: str
) -> None:
    done = dlcli("study", *arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert message in done.err
    assert not Path("studies").exists()


def test_early_stopping_ends_some_curves_before_others(clean_place: Path) -> None:
    settings = [*SHORT, "training.epochs=12", "early_stopping={monitor: val/loss, patience: 1}"]
    outcome = study(vary=["optimizer.lr=0.05,5"], config="digits", settings=settings, seeds=2)
    lengths = {len(training.curve) for variant in outcome.results.variants for training in variant.trainings}
    assert len(lengths) > 1
    assert outcome.results.stopped_early == sum(
        len(training["curve"]) < 12 for variant in outcome.record["variants"] for training in variant["trainings"]
    )
    assert "trained for at most 12 epochs" in outcome.record["method"]
    assert set(outcome.files) == {path.name for path in Path(outcome.folder).iterdir()}
    assert hold_last([(1, 2, 3), (4,)]).tolist() == [[1, 2, 3], [4, 4, 4]]


def test_results_are_saved_even_if_the_figure_fails(clean_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no figure")

    monkeypatch.setattr("dlcli.lecture.studies.figure.draw_study", fail)
    with pytest.raises(ValueError, match="no figure"):
        study(vary=["optimizer.lr=0.1,0.2"], config="digits", settings=SHORT, seeds=2)
    assert json.loads(Path("studies/digits-lr/results.json").read_text())["seeds"] == [1, 2]


def test_a_learning_rate_at_the_end_of_the_range_extends_it(dlcli: Callable[..., Finished], clean_place: Path) -> None:
    Path("low.yaml").write_text("data: {name: digits}\noptimizer: {lr: 0.0001}\nscheduler: null\n")
    arguments = ("study", "learning-rate", "-c", "low.yaml", "training.epochs=3", "--seeds", "2")
    done = dlcli(*arguments)
    assert done.code == 0, done.err
    record = json.loads(Path("studies/learning-rate/results.json").read_text())
    rates = [variant["label"] for variant in record["variants"]]
    assert rates[-4:] == ["α=0.001", "α=0.01", "α=0.1", "α=1"]
    assert len(rates) == 9
    assert "added α=0.1" in done.err
    text = done.out.splitlines()
    assert text[-2] == "beyond    dlcli study --vary optimizer.lr=1,10 -c low.yaml training.epochs=3"
    assert text[-1].endswith("optimizer.lr=1.0")
    again = dlcli(*arguments)
    assert [path.name for path in Path("studies").iterdir()] == ["learning-rate"], again.err
