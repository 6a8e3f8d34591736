"""Diagnosis of runs with planted faults, each reported by name, and of healthy runs without findings."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Finished
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from dlcli.api import build_experiment, train
from dlcli.api import diagnose as diagnose_run
from dlcli.config.load import load_config
from dlcli.data.sources import SOURCES
from dlcli.data.splits import RawData, Split
from dlcli.errors import DivergedError
from dlcli.evaluation.calibration import measure_calibration
from dlcli.evaluation.diagnosis.finding import Finding
from dlcli.evaluation.diagnosis.measurements import measure
from dlcli.runs.run import open_run
from dlcli.runs.trained_run import load_trained_run

TEN_LAYERS = f"model.hidden_sizes={[64] * 10}".replace(" ", "")
CIRCLES = "data={name: synthetic_classification, pattern: circles, noise: 0.1}"
MOONS = "task: classification\ndata: {name: synthetic_classification, pattern: moons, noise: 0.1}\n"
QUICK = ("diabetes", "digits", "gradient_descent", "linear_regression", "moons", "sine_regression")


def shuffle(raw: RawData) -> RawData:
    """Permute the labels."""
    order = torch.randperm(len(raw.train), generator=torch.Generator().manual_seed(1))
    return replace(raw, train=Split(raw.train.inputs, raw.train.targets[order]))


def hold_out(raw: RawData, count: int) -> RawData:
    """Keep `count` examples for training and move all others to the test split."""
    order = torch.randperm(len(raw.train), generator=torch.Generator().manual_seed(2))
    return replace(raw, train=raw.train[order[:count]], test=raw.train[order[count:]])


def fifty(raw: RawData) -> RawData:
    """Keep about 50 examples for training and 5 for validation, and move all others to the test split."""
    return hold_out(raw, 56)


def copy_test(fraction: float) -> Callable[[RawData], RawData]:
    """Copy a fraction of the test split into train."""

    def plant(raw: RawData) -> RawData:
        raw = hold_out(raw, len(raw.train) * 4 // 5)
        assert raw.test is not None
        copies = raw.test[torch.arange(round(fraction * len(raw.test)))]
        parts = ((raw.train.inputs, copies.inputs), (raw.train.targets, copies.targets))
        return replace(raw, train=Split(*(torch.cat(part) for part in parts)))

    return plant


def make_rare(raw: RawData) -> RawData:
    """Keep only 10 examples of each of the classes 3 and 7."""
    rank = torch.stack([(raw.train.targets[:i] == label).sum() for i, label in enumerate(raw.train.targets)])
    rare = (raw.train.targets == 3) | (raw.train.targets == 7)
    return replace(raw, train=raw.train[(~rare | (rank < 10)).nonzero().flatten()])


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[RawData], RawData]], None]:
    """Change the data of every source, for training and for later loading of the run."""

    def change(fault: Callable[[RawData], RawData]) -> None:
        for name, load in list(SOURCES.items()):
            monkeypatch.setitem(SOURCES, name, lambda config, load=load: fault(load(config)))

    return change


def train_and_diagnose(preset: str, settings: Sequence[str] = (), *, seed: int = 0) -> tuple[Finding, ...]:
    """Train a preset and return the findings of its diagnosis."""
    folder = Path("run")
    try:
        train(load_config(preset, [*settings, f"seed={seed}"]), run_dir=folder)
    except DivergedError:
        assert json.loads((folder / "summary.json").read_text())["status"] == "diverged"
    return diagnose_run(str(folder)).findings


def score(folder: str) -> float:
    """Return the accuracy, or R², on val of a run's best checkpoint."""
    return measure(load_trained_run(open_run(folder))).model.score


def names(findings: Sequence[Finding], severity: str | None = None) -> list[str]:
    return [finding.name for finding in findings if severity in (None, finding.severity)]


@pytest.mark.parametrize("seed", [0, pytest.param(11, marks=pytest.mark.long)])
@pytest.mark.parametrize("preset", QUICK)
def test_a_healthy_run_has_no_finding(clean_place: Path, preset: str, seed: int) -> None:
    assert set(names(train_and_diagnose(preset, seed=seed))) <= {"linear-model-suffices"}


@pytest.mark.parametrize("seed", [0, pytest.param(11, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("preset", "settings", "name"),
    [
        ("digits", ["optimizer.lr=20"], "learning-rate-too-high"),
        ("moons", ["optimizer.lr=20"], "learning-rate-too-high"),
        ("diabetes", ["optimizer.lr=5"], "learning-rate-too-high"),
        ("linear_regression", ["optimizer.lr=5"], "learning-rate-too-high"),
        ("digits", ["optimizer.lr=2e-4"], "learning-rate-too-low"),
        ("moons", ["optimizer.lr=2e-4"], "learning-rate-too-low"),
        ("linear_regression", ["optimizer.lr=5e-5"], "learning-rate-too-low"),
        ("digits", [TEN_LAYERS], "vanishing-gradient"),
        ("linear_regression", [TEN_LAYERS], "vanishing-gradient"),
    ],
)
def test_a_planted_setting_is_the_first_finding(
    clean_place: Path, preset: str, settings: list[str], name: str, seed: int
) -> None:
    findings = train_and_diagnose(preset, settings, seed=seed)
    assert names(findings, "problem")[:1] == names(findings)[:1] == [name]


@pytest.mark.parametrize("seed", [0, pytest.param(11, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("preset", "fault", "name"),
    [
        ("digits", fifty, "too-few-examples"),
        ("digits", shuffle, "labels-unrelated"),
        ("diabetes", shuffle, "labels-unrelated"),
        ("moons", shuffle, "labels-unrelated"),
        ("digits", copy_test(1.0), "leakage"),
        ("linear_regression", copy_test(1.0), "leakage"),
    ],
)
def test_a_planted_data_fault_is_the_first_finding(
    clean_place: Path, plant: Callable[..., None], preset: str, fault: Callable[..., Any], name: str, seed: int
) -> None:
    plant(fault)
    findings = train_and_diagnose(preset, seed=seed)
    assert names(findings, "problem")[:1] == names(findings)[:1] == [name]


@pytest.mark.parametrize(
    ("preset", "settings", "name", "severity"),
    [
        ("digits", ["model.activation=heaviside"], "zero-gradient", "problem"),
        ("diabetes", ["data.normalize=none"], "saturated-units", "problem"),
        (
            "digits",
            ["model={hidden_sizes: [64], activation: relu, init: normal}", "optimizer.lr=2"],
            "dead-units",
            None,
        ),
        ("moons", [CIRCLES, "model.hidden_sizes=[]"], "underfitting", "problem"),
        ("digits", ["training.epochs=3", "scheduler=null", "optimizer.lr=0.05"], "too-few-epochs", "hint"),
        ("digits", ["loss.label_smoothing=0.3"], "miscalibration", "hint"),
        (
            "digits",
            [
                "model={hidden_sizes: [64, 64, 64], init: default}",
                "optimizer={lr: 0.1, momentum: 0}",
                "early_stopping.patience=3",
            ],
            "stopped-on-plateau",
            "problem",
        ),
        (
            "diabetes",
            ["early_stopping=null", "training.epochs=500", "optimizer.weight_decay=0", "model={hidden_sizes: [128]}"],
            "too-many-epochs",
            "hint",
        ),
        ("diabetes", ["optimizer.weight_decay=0.3"], "weight-decay-too-strong", "problem"),
        ("digits", ["optimizer.weight_decay=0.03"], "miscalibration", "hint"),
    ],
)
def test_other_faults_are_found_by_name(
    clean_place: Path, preset: str, settings: list[str], name: str, severity: str | None
) -> None:
    findings = train_and_diagnose(preset, settings)
    assert name in names(findings, severity)
    before, advised = score("run"), next(finding.settings for finding in findings if finding.name == name)
    Path("run").rename("faulty")
    mended = names(train_and_diagnose(preset, [*settings, *advised]))
    assert score("run") > before or name not in mended


@pytest.mark.parametrize("source", ["digits", pytest.param("two lines", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ([f"model.hidden_sizes={[64] * 6}"], "underfitting"),
        (["model={hidden_sizes: [64, 64, 64, 64], init: default}"], "underfitting"),
        (["model.init=zeros", "optimizer.lr=1e-9"], "underfitting"),
        (["optimizer.weight_decay=1"], "weight-decay-too-strong"),
        (["model.activation=relu", "optimizer.lr=1e6"], "learning-rate-too-high"),
    ],
)
def test_the_advice_for_a_model_at_chance_makes_it_learn(
    clean_place: Path, source: str, settings: list[str], name: str
) -> None:
    if source == "two lines":
        source = "config.yaml"
        Path(source).write_text("task: classification\ndata: {name: digits}\noptimizer: {name: sgd, lr: 0.05}\n")
    finding = train_and_diagnose(source, settings)[0]
    assert finding.name == name
    Path("run").rename("faulty")
    train_and_diagnose(source, [*settings, *finding.settings])
    assert score("run") > 0.9


def test_a_learning_rate_far_too_high_is_replaced_by_the_default(clean_place: Path) -> None:
    settings = ["model.activation=relu", "optimizer.lr=1e6"]
    (finding,) = train_and_diagnose("diabetes", settings)
    assert finding.settings == ("optimizer.lr=0.1",)
    Path("run").rename("faulty")
    train_and_diagnose("diabetes", [*settings, *finding.settings])
    assert score("run") > 0.4


def test_stuck_training_is_not_taken_for_a_linear_problem(clean_place: Path) -> None:
    Path("config.yaml").write_text(MOONS)
    slow = ["optimizer.lr=0.05"]
    (finding,) = train_and_diagnose("config.yaml", slow, seed=2)
    assert (finding.name, finding.settings) == ("underfitting", ("model.activation=tanh",))
    assert finding.statement.startswith("Training is stuck")
    assert score("run") < 0.98
    Path("run").rename("faulty")
    assert train_and_diagnose("config.yaml", [*slow, *finding.settings], seed=2) == ()
    assert score("run") == 1


def test_early_stopping_as_advised_keeps_the_best_checkpoint(clean_place: Path) -> None:
    Path("config.yaml").write_text("task: regression\ndata: {name: diabetes}\n")
    (finding,) = train_and_diagnose("config.yaml", seed=2)
    assert finding.name == "too-many-epochs"
    assert "memorized" not in finding.statement
    Path("run").rename("long")
    assert train_and_diagnose("config.yaml", finding.settings, seed=2) == ()
    assert len(open_run("run").rows) < len(open_run("long").rows) / 2
    short, long = (load_trained_run(open_run(name)) for name in ("run", "long"))
    assert short.epoch == long.epoch
    assert all(map(torch.equal, short.model.parameters(), long.model.parameters()))


@pytest.mark.parametrize("data", ["pattern: blobs, n_classes: 3", "pattern: circles"])
def test_a_loss_near_0_has_not_too_few_epochs(clean_place: Path, data: str) -> None:
    Path("config.yaml").write_text(f"task: classification\ndata: {{name: synthetic_classification, {data}}}\n")
    assert set(names(train_and_diagnose("config.yaml", seed=1))) <= {"linear-model-suffices"}


def test_fifty_training_examples_overfit_given_enough_validation_examples(
    clean_place: Path, plant: Callable[..., None]
) -> None:
    plant(lambda raw: hold_out(raw, 250))
    assert names(train_and_diagnose("digits", ["data.val_fraction=0.8"]))[:1] == ["overfitting"]


def test_rare_classes_are_a_hint_and_a_problem_if_never_predicted(
    clean_place: Path, plant: Callable[..., None]
) -> None:
    plant(make_rare)
    learned = train_and_diagnose("digits")
    assert names(learned) == ["class-imbalance"]
    assert "3: 7, predicted" in learned[0].evidence[0]
    (clean_place / "run").rename(clean_place / "learned")
    (never,) = train_and_diagnose("digits", ["training.epochs=2", "scheduler=null", "optimizer.lr=0.03"])[:1]
    assert (never.name, never.severity) == ("class-imbalance", "problem")
    assert re.search(r"never predicted: 3, 7", never.statement)


@pytest.mark.parametrize("fault", ["optimizer.lr=20", "optimizer.lr=2e-4", TEN_LAYERS, "data.normalize=none"])
def test_the_advice_of_a_problem_fixes_the_run(clean_place: Path, fault: str) -> None:
    preset = "diabetes" if fault == "data.normalize=none" else "digits"
    finding = train_and_diagnose(preset, [fault])[0]
    Path("run").rename("faulty")
    assert names(train_and_diagnose(preset, [fault, *finding.settings]), "problem") == []


def test_a_linear_model_that_does_as_well_is_a_hint(clean_place: Path) -> None:
    (finding,) = train_and_diagnose("diabetes")
    assert (finding.name, finding.severity, finding.settings) == (
        "linear-model-suffices",
        "hint",
        ("model.hidden_sizes=[]",),
    )
    trained = load_trained_run(open_run("run"))
    x, y = (values.numpy().astype(float) for values in (trained.splits.train.inputs, trained.splits.train.targets))
    x_val, y_val = trained.splits.val.inputs.numpy(), trained.splits.val.targets.numpy()
    assert f"reaches val R² {LinearRegression().fit(x, y).score(x_val, y_val):.3f}" in finding.evidence[0]


def test_severity_of_leakage_depends_on_the_number_of_copies(clean_place: Path, plant: Callable[..., None]) -> None:
    for fraction, expected in ((0.005, []), (0.03, ["hint"]), (0.2, ["problem"])):
        with pytest.MonkeyPatch.context() as patch:
            load = SOURCES["digits"]
            patch.setitem(
                SOURCES, "digits", lambda config, load=load, fraction=fraction: copy_test(fraction)(load(config))
            )
            found = train_and_diagnose("digits")
            assert [finding.severity for finding in found if finding.name == "leakage"] == expected
        Path("run").rename(f"run-{fraction}")


def test_labels_of_the_test_split_do_not_affect_the_measurements(clean_place: Path) -> None:
    train(load_config("digits", ["training.epochs=3"]), run_dir=Path("run"))
    run = load_trained_run(open_run("run"))
    changed = replace(run.splits, test=Split(run.splits.test.inputs, run.splits.test.targets.flip(0)))
    assert measure(run) == measure(replace(run, splits=changed))


def test_a_run_without_a_checkpoint_is_diagnosed_from_its_log(
    clean_place: Path, dlcli: Callable[..., Finished]
) -> None:
    assert names(train_and_diagnose("linear_regression", ["optimizer.lr=5"])) == ["learning-rate-too-high"]
    assert not Path("run/checkpoints/best.safetensors").exists()
    result = diagnose_run("run")
    assert (result.status, result.epochs, result.epoch) == ("diverged", 0, None)
    (finding,) = result.findings
    assert finding.evidence == ("the loss became NaN or infinite in epoch 1 (summary.json: diverged)",)
    assert finding.advice.startswith("optimizer.lr=0.1;")
    for checkpoint in ("best", "last"):
        failed = dlcli("eval", "run", "--checkpoint", checkpoint)
        assert failed.code == 3
        assert "`dlcli runs show run --diagnose`" in failed.err
        assert "--resume" not in failed.err
    Path("run/summary.json").unlink()
    assert diagnose_run("run").findings == ()


def test_a_damaged_log_is_tolerated(clean_place: Path) -> None:
    train(load_config("digits", ["training.epochs=2"]), run_dir=Path("run"))
    for row in ("", '{"epoch": 1, "step": 1, "train/loss": null, "epoch_seconds": 1}\n'):
        Path("run/metrics.jsonl").write_text(row)
        Path("run/trace.jsonl").write_text('{"epoch": 1, "layers": [], "paths": []}\n')
        assert all(finding.evidence and finding.advice for finding in diagnose_run("run").findings)


def test_runs_show_prints_findings(clean_place: Path, dlcli: Callable[..., Finished]) -> None:
    train(load_config("digits", [TEN_LAYERS, "training.epochs=4"]), run_dir=Path("bad"))
    plain, diagnosed = dlcli("runs", "show", "bad"), dlcli("runs", "show", "bad", "--diagnose")
    assert diagnosed.code == 0, diagnosed.err
    assert diagnosed.out.startswith(plain.out)
    lines = diagnosed.out.removeprefix(plain.out).splitlines()
    assert max(len(line) for line in lines if not line.startswith("try ")) <= 80
    assert lines[1].startswith("problem   The gradient vanishes")
    assert "try       `dlcli train bad/resolved.yaml 'model.hidden_sizes=[64]'`" in lines
    record = json.loads(dlcli("runs", "show", "bad", "--diagnose", "--json").out)
    assert record["findings"][0]["name"] == "vanishing-gradient"
    assert record.keys() - json.loads(dlcli("runs", "show", "bad", "--json").out).keys() == {"findings"}
    train(load_config("moons"), run_dir=Path("good"))
    assert dlcli("runs", "show", "good", "--diagnose").out.count("\n\nnothing found (18 checks: leakage, ") == 1


def test_runs_show_without_diagnosis_does_not_import_torch(clean_place: Path) -> None:
    train(load_config("digits", ["training.epochs=1"]), run_dir=Path("run"))
    code = "import sys; sys.argv = ['dlcli', 'runs', 'show', 'run']; from dlcli.cli import main; main()"
    code = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_knn_skill_matches_scikit_learn(clean_place: Path) -> None:
    for preset, model in (("digits", KNeighborsClassifier(5)), ("diabetes", KNeighborsRegressor(5))):
        train(load_config(preset, ["training.epochs=1"]), run_dir=Path(preset))
        run = load_trained_run(open_run(preset))
        inputs, targets = run.splits.train.inputs.numpy(), run.splits.train.targets.numpy()
        preds = model.fit(inputs, targets).predict(run.splits.val.inputs.numpy()).flatten()
        truth, score = run.splits.val.targets.numpy().flatten(), measure(run).knn.score
        expected = (preds == truth).mean() if preset == "digits" else np.corrcoef(preds, truth)[0, 1] ** 2
        assert score == pytest.approx(expected, abs=1e-6)


def test_best_step_is_the_minimum_of_the_parabola(clean_place: Path) -> None:
    """The squared error of a linear model along its gradient g is a parabola with its minimum at gᵀg / gᵀHg."""
    train(load_config("linear_regression", ["training.epochs=1"]), run_dir=Path("run"))
    run = load_trained_run(open_run("run"))
    experiment = build_experiment(run.config)
    weight, bias = (parameter.detach().double().numpy() for parameter in experiment.model.parameters())
    inputs, targets = (part.double().numpy() for part in (run.splits.train.inputs, run.splits.train.targets))
    ones = np.hstack([inputs, np.ones((len(inputs), 1))])
    theta = np.hstack([weight.flatten(), bias])
    hessian = 2 / len(ones) * ones.T @ ones
    gradient = 2 / len(ones) * ones.T @ (ones @ theta - targets.flatten())
    length = gradient @ gradient / (gradient @ hessian @ gradient) / run.config.optimizer.lr
    assert abs(math.log10(measure(run).best_step / length)) <= 0.25


def test_calibration_distinguishes_chance_from_overconfidence() -> None:
    generator = torch.Generator().manual_seed(3)
    top = 0.5 + 0.5 * torch.rand(400, generator=generator, dtype=torch.float64)
    probs = torch.stack([top, 1 - top], 1)
    fair = (torch.rand(400, generator=generator, dtype=torch.float64) > top).long()
    measured = measure_calibration(probs, fair)
    bins = np.ceil(top.numpy() * 15)
    by_hand = sum(abs((fair.numpy() == 0)[bins == b].sum() - top.numpy()[bins == b].sum()) for b in set(bins)) / 400
    assert measured.error == pytest.approx(by_hand)
    assert measured.error <= measured.highest_by_chance
    worse = measure_calibration(probs, torch.randint(2, (400,), generator=generator))
    assert worse.error > worse.highest_by_chance
    assert worse.confidence > worse.accuracy
    assert worse.by_chance == measured.by_chance
