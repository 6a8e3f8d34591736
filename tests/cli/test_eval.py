"""The commands `dlcli eval` and `dlcli predict --event`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Finished

from dlcli.api import EvalResult
from dlcli.cli.evaluation_page import evaluation_page
from dlcli.cli.output import print_result
from dlcli.data.published import DATA_SETS
from dlcli.evaluation import baselines as comparing
from dlcli.evaluation.baselines import LOGISTIC_SETTINGS, Baseline, describe_against_baselines
from dlcli.evaluation.classification import classification_metrics


def train(dlcli: Callable[..., Finished], *arguments: str) -> Path:
    done = dlcli("train", *arguments, "--quiet", "--json")
    assert done.code == 0, done.err
    return Path(json.loads(done.out)["run"])


def evaluate(dlcli: Callable[..., Finished], *arguments: str) -> dict[str, Any]:
    done = dlcli("eval", *arguments, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out, parse_constant=lambda name: pytest.fail(f"{name} is no strict JSON"))
    assert isinstance(result, dict)
    return result


def test_classification_metrics_are_complete_and_consistent(dlcli: Callable[..., Finished]) -> None:
    run = train(dlcli, "-c", "digits", "training.epochs=3")
    result = evaluate(dlcli)
    metrics, baselines = result["metrics"], result["baselines"]
    assert set(metrics) == {
        *("loss", "accuracy", "accuracy_interval", "macro_f1", "macro_precision", "macro_recall", "log_loss"),
        *("brier_score", "ece", "mean_entropy", "top_k", "per_class", "confusion", "most_confused", "most_certain"),
        *("least_certain", "reliability"),
    }
    counts = metrics["confusion"]["counts"]
    assert sum(counts[i][i] for i in range(10)) / result["examples"] == pytest.approx(metrics["accuracy"])
    assert metrics["log_loss"] == pytest.approx(metrics["loss"], rel=1e-5)
    least = metrics["least_certain"][0]
    (record,) = json.loads(dlcli("predict", "-i", str(least["index"]), "--json").out)["predictions"]
    assert (record["pred"], record["label"]) == (least["pred"], least["label"])
    assert record["probs"][least["pred"]] == pytest.approx(least["probability"])
    assert set(baselines) == {"majority_class", "logistic_regression"}
    assert all(set(baseline["metrics"]) == {"accuracy", "log_loss"} for baseline in baselines.values())
    (statement,) = result["statements"]
    for value in (metrics["accuracy"], *(baseline["metrics"]["accuracy"] for baseline in baselines.values())):
        assert f"{value:.4f}" in statement
    assert "logistic regression" in json.dumps(evaluate(dlcli, "--split", "val")["statements"])
    assert set(json.loads((run / "baselines.json").read_text())) == {"test", "val"}
    assert (evaluate(dlcli, "--no-baselines")["baselines"], evaluate(dlcli, "--no-baselines")["statements"]) == ({}, [])


def test_regression_metrics_are_complete_and_shown_on_the_page(dlcli: Callable[..., Finished]) -> None:
    train(dlcli, "-c", "linear_regression", "data.in_features=14", "training.epochs=3")
    result = evaluate(dlcli)
    assert set(result["metrics"]) == {"loss", "mse", "rmse", "rmse_interval", "mae", "r2", "residual_quantiles"}
    assert list(result["baselines"]) == ["mean", "least_squares", "noise_floor"]
    least_squares = result["baselines"]["least_squares"]
    assert set(least_squares) == {"intercept", "coefficients", "rank", "sgd", "metrics"}
    assert len(least_squares["coefficients"]) == 14
    assert 0 < least_squares["sgd"]["coefficient_difference"] < 1
    page = dlcli("eval").out
    for words in ("the noise floor", "least squares (", "x11", "use --json to print all 14 coefficients", "median"):
        assert words in " ".join(page.split())
    assert "x12" not in page
    assert all(len(line) <= 80 for line in page.splitlines())


def show(result: EvalResult, capsys: pytest.CaptureFixture[str], matrix: Any = "counts") -> str:
    capsys.readouterr()
    print_result(*evaluation_page(result, matrix))
    return capsys.readouterr().out


def make_result(names: list[str], n: int) -> EvalResult:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(len(names), (n,), generator=generator)
    logits = torch.randn(n, len(names), generator=generator) + 4 * torch.nn.functional.one_hot(labels, len(names))
    metrics = {"loss": 0.5, **classification_metrics(logits.double().softmax(1), labels, names)}
    baselines = [
        Baseline("majority_class", f"always predicting {names[-1]}", {"accuracy": 0.1, "log_loss": 2.3}),
        Baseline("logistic_regression", "logistic regression", {"accuracy": 0.8445, "log_loss": 0.4}),
    ]
    records = {baseline.name: baseline.record for baseline in baselines}
    statements = describe_against_baselines(metrics, baselines)
    return EvalResult("runs/some/run", "train", "best", 3, n, metrics, records, statements)


@pytest.mark.parametrize("matrix", ["counts", "given-true", "given-predicted"])
def test_the_page_of_fashion_mnist_fits_80_columns(capsys: pytest.CaptureFixture[str], matrix: str) -> None:
    result = make_result(list(DATA_SETS["fashion_mnist"].labels), 54_000)
    page = show(result, capsys, matrix)
    assert max(len(line) for line in page.splitlines()) <= 80
    assert "\x1b" not in page
    confusion = result.metrics["confusion"]
    key = {"counts": "counts", "given-true": "predicted_given_true", "given-predicted": "true_given_predicted"}[matrix]
    shirt = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in confusion[key][6]]
    assert ["Shirt", *shirt] in [line.split() for line in page.splitlines()]
    low, high = result.metrics["accuracy_interval"]
    assert f"{low:.4f} to {high:.4f}" in page


def test_in_a_pipe_long_names_stay_whole_and_the_confusion_matrix_fits_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    twelve = show(make_result([f"a class with a long name {i}" for i in range(12)], 60_000), capsys)
    before, _, matrix = twelve.partition("confusion matrix: rows")
    assert all(f"a class with a long name {i} " in before for i in range(12))
    assert max(len(line) for line in matrix.partition("most confused")[0].splitlines()) <= 80
    thirteen = show(make_result([f"class {i}" for i in range(13)], 500), capsys)
    assert "The confusion matrix of 13 classes is too wide to show; use --json to print it" in thirteen


def test_quiet_prints_only_numbers_and_fits_no_baselines(dlcli: Callable[..., Finished]) -> None:
    run = train(dlcli, "-c", "digits", "training.epochs=1")
    lines = [line.split() for line in dlcli("eval", "--quiet").out.splitlines()]
    assert {name for name, _ in lines} >= {"loss", "accuracy", "macro_f1", "brier_score", "ece"}
    assert "log_loss" not in dict(lines), "it is the loss"
    assert all(math.isfinite(float(value)) for _, value in lines)
    assert not (run / "baselines.json").exists()


def test_fail_under_accepts_only_numeric_metrics_where_higher_is_better(dlcli: Callable[..., Finished]) -> None:
    train(dlcli, "-c", "digits", "training.epochs=1")
    assert dlcli("eval", "--quiet", "--fail-under", "macro_recall=0.1").code == 0
    assert dlcli("eval", "--quiet", "--fail-under", "macro_precision=0.9999").code == 6
    for name in ("ece", "log_loss", "brier_score"):
        refused = dlcli("eval", "--fail-under", f"{name}=0.1")
        assert (refused.code, f"{name}: lower is better" in refused.err) == (2, True)
    for value in ("nan", "inf", "-inf", "", "x"):
        refused = dlcli("eval", "--fail-under", f"accuracy={value}")
        assert (refused.code, refused.out) == (2, "")
        assert "is not METRIC=VALUE" in refused.err
    for name in ("per_class", "accuracy_interval", "nothing"):
        refused = dlcli("eval", "--quiet", "--fail-under", f"{name}=0.1")
        assert (refused.code, f"no metric '{name}'" in refused.err) == (2, True)


GOOD = {"settings": LOGISTIC_SETTINGS, "logistic_regression": {"accuracy": 0.5, "log_loss": 1.5}}
INVALID = [
    "",
    "{",
    "[]",
    "null",
    "[" * 100_000,
    '"\\ud800"',
    json.dumps({"test": 1}),
    json.dumps({"test": []}),
    json.dumps({"test": {**GOOD, "settings": {**LOGISTIC_SETTINGS, "max_iter": 1}}}),
    json.dumps({"test": {"settings": LOGISTIC_SETTINGS}}),
    *(
        json.dumps({"test": {**GOOD, "logistic_regression": {"accuracy": 0.5, "log_loss": 1.5, key: value}}})
        for key, value in (
            ("accuracy", 1.5),
            ("accuracy", "0.5"),
            ("accuracy", math.nan),
            ("accuracy", None),
            ("accuracy", True),
            ("log_loss", -1.0),
            ("log_loss", math.inf),
            ("log_loss", [1.5]),
        )
    ),
]


def test_baselines_are_cached_and_refitted_if_the_file_is_invalid(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = train(dlcli, "-c", "digits", "training.epochs=1") / "baselines.json"
    fitted = evaluate(dlcli)["baselines"]
    written = file.read_bytes()
    for text in INVALID:
        file.write_text(text)
        assert evaluate(dlcli)["baselines"] == fitted, text
        assert file.read_bytes() == written
    file.write_text(json.dumps({"test": GOOD, "val": 3, "nonsense": "x"}))
    monkeypatch.setattr(comparing, "fit_logistic_regression", lambda run: pytest.fail("it is kept"))
    assert evaluate(dlcli)["baselines"]["logistic_regression"] == {"metrics": GOOD["logistic_regression"]}
    monkeypatch.setattr(comparing, "fit_logistic_regression", lambda run: {"accuracy": 0.25, "log_loss": 2.0})
    evaluate(dlcli, "--split", "val")
    kept = json.loads(file.read_text())
    assert {name: baselines["logistic_regression"]["accuracy"] for name, baselines in kept.items()} == {
        "test": 0.5,
        "val": 0.25,
    }


def test_a_read_only_run_folder_can_be_evaluated(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(dlcli, "-c", "digits", "training.epochs=1")
    (run / "baselines.json").mkdir()  # which stops root too
    assert "logistic_regression" in evaluate(dlcli)["baselines"]
    (run / "baselines.json").rmdir()
    real = os.open

    def read_only(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", read_only)
        assert "logistic_regression" in evaluate(dlcli)["baselines"]
    assert not (run / "baselines.json").exists()
    assert not list(run.glob(".*.tmp"))


def test_a_slow_fit_is_announced_on_stderr(dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch) -> None:
    train(dlcli, "-c", "digits", "training.epochs=1")
    monkeypatch.setattr(comparing, "_MUCH_WORK", 1000)
    done = dlcli("eval", "--json")
    assert "fitting logistic regression" in done.err
    assert dlcli("eval", "--json").err == ""
    assert dlcli("eval", "--split", "val", "--json", "--quiet").err == ""


def test_train_with_eval_does_not_import_scikit_learn(clean_place: Path) -> None:
    Path("three.yaml").write_text(
        "task: classification\ndata: {name: synthetic_classification, pattern: spirals, n_classes: 3}\n"
        "training: {epochs: 1}\n"
    )

    def imports_sklearn(*arguments: str) -> bool:
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: print('sklearn' in sys.modules, file=sys.stderr))\n"
            f"sys.argv = ['dlcli', *{list(arguments)!r}]\n"
            "from dlcli.cli import main\n"
            "main()\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()[-1] == "True"

    assert not imports_sklearn("train", "-c", "three.yaml", "--eval", "--quiet")
    assert imports_sklearn("eval")


def test_an_event_is_shown_on_the_page_and_in_json(dlcli: Callable[..., Finished]) -> None:
    train(dlcli, "-c", "moons", "training.epochs=1")
    records = json.loads(dlcli("predict", "--event", "class 1, class 1", "--json").out)["predictions"]
    for record in records:
        assert record["event"] == {"classes": ["class 1"], "probability": record["probs"]["class 1"]}
    page = dlcli("predict", "--event", "class 1,class 0").out
    assert page.startswith("E = {class 1, class 0}\n\n")
    assert page.count("  P(E | x) = 1.0000\n") == 3
    assert "event" not in dlcli("predict", "--json").out
    unknown = dlcli("predict", "--event", "clas 1")
    assert (unknown.code, "did you mean `class 1`?" in unknown.err) == (2, True)
    assert dlcli("predict", "--event", " , ").code == 2
    train(dlcli, "-c", "linear_regression", "training.epochs=1")
    refused = dlcli("predict", "--event", "class 1")
    assert (refused.code, "a regression run has no classes" in refused.err) == (2, True)
