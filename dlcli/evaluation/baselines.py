"""Simple baselines, fitted on train and evaluated on the same examples as the model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor, nn

from dlcli.errors import DataError
from dlcli.evaluation.classification import accuracy, log_loss
from dlcli.evaluation.regression import LeastSquares, fit_least_squares, plain, regression_metrics
from dlcli.runs.files import read_json, write_json
from dlcli.runs.folder import RunFolder
from dlcli.runs.trained_run import SplitName, TrainedRun
from dlcli.text import join
from dlcli.training.evaluation import evaluate_split

# The penalty is λ/2 Σ θ² added to the mean loss: weak, and independent of the number of examples. On the 54,000
# training images of Fashion-MNIST, 80 iterations take 6 s and reach a test accuracy of 0.843; 500 reach 0.844.
LOGISTIC_SETTINGS = {"penalty": 1e-3, "max_iter": 80, "tol": 1e-3}
_MUCH_WORK = 20_000_000  # input values of train × classes; fitting this much takes about a second


@dataclass(frozen=True)
class Baseline:
    """A simple method with its metrics.

    Attributes:
        name: Key of the baseline in results.
        phrase: Name of the baseline inside a sentence.
        metrics: Metrics on the run's split.
        learned: Parameters learned from train; empty if there is nothing to show.
    """

    name: str
    phrase: str
    metrics: Mapping[str, float]
    learned: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """JSON object of the baseline."""
        return {**self.learned, "metrics": dict(self.metrics)}


def load_or_fit_baselines(folder: RunFolder, run: TrainedRun, notify: Callable[[str], None]) -> list[Baseline]:
    """Return the baselines of a run on its split.

    Reads logistic regression from `baselines.json` if that file has a valid entry. Otherwise fits it and saves the
    result, if the folder is writable.

    `notify` is called with a one-line message before a slow step.
    """
    if run.info.task == "regression":
        return regression_baselines(run)
    cached = _read_cache(folder)
    if run.split_name not in cached:
        if run.splits.train.stored.numel() * run.info.out_features > _MUCH_WORK:
            notify("fitting logistic regression as a baseline; the result is cached in the run folder")
        cached[run.split_name] = fit_logistic_regression(run)
        entries = {name: {"settings": LOGISTIC_SETTINGS, "logistic_regression": cached[name]} for name in cached}
        with suppress(DataError):  # the folder may be read-only
            write_json(folder.baselines, entries)
    return [majority_class(run), Baseline("logistic_regression", "logistic regression", cached[run.split_name])]


class _Metrics(BaseModel, strict=True):
    accuracy: float = Field(ge=0, le=1)
    log_loss: float = Field(ge=0, allow_inf_nan=False)


class _Entry(BaseModel, strict=True):
    """Logistic regression on a split, as in `baselines.json`."""

    settings: dict[str, float]
    logistic_regression: _Metrics


def _read_cache(folder: RunFolder) -> dict[str, dict[str, float]]:
    """Return the cached metrics of logistic regression by split, if they were made with the current settings.

    A run folder may come from an untrusted source: entries that dlcli would not have written are ignored.
    """
    cached, record = {}, {}
    with suppress(DataError):
        record = read_json(folder.baselines)
    for name in get_args(SplitName):
        with suppress(ValidationError):
            entry = _Entry.model_validate(record.get(name))
            if entry.settings == LOGISTIC_SETTINGS:
                cached[name] = entry.logistic_regression.model_dump()
    return cached


def majority_class(run: TrainedRun) -> Baseline:
    """Return the baseline that always predicts the most frequent class, with train's class frequencies as P(class)."""
    counts = torch.bincount(run.splits.train.targets.cpu(), minlength=run.info.out_features)
    name, labels = run.info.class_names[int(counts.argmax())], run.truth(run.split)
    metrics = _probability_metrics((counts.double() / counts.sum()).expand(len(labels), -1), labels)
    return Baseline("majority_class", f"always predicting {name}", metrics, {"class": name})


def fit_logistic_regression(run: TrainedRun) -> dict[str, float]:
    """Fit scikit-learn's multinomial logistic regression (L-BFGS, scaled inputs); return its accuracy and log loss."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    train, split = run.splits.train, run.split
    labels = train.targets.cpu().numpy()
    probs = torch.zeros(len(split), run.info.out_features, dtype=torch.float64)
    if (labels == labels[0]).all():  # scikit-learn refuses a single class
        probs[:, labels[0]] = 1
    else:
        penalty, max_iter, tol = LOGISTIC_SETTINGS.values()
        model = LogisticRegression(C=1 / (penalty * len(labels)), max_iter=int(max_iter), tol=tol)
        with warnings.catch_warnings(), threadpool_limits(1):  # matrices this thin are no faster with more threads
            warnings.simplefilter("ignore")  # max_iter is reached on purpose; see LOGISTIC_SETTINGS
            model.fit(train.inputs.cpu().numpy(), labels)
        predicted = torch.from_numpy(model.predict_proba(split.inputs.cpu().numpy())).double()
        probs[:, torch.from_numpy(model.classes_)] = predicted / predicted.sum(
            1, keepdim=True
        )  # the sums of float32 probabilities are not exactly 1
    return _probability_metrics(probs, run.truth(split))


def _probability_metrics(probs: Tensor, labels: Tensor) -> dict[str, float]:
    return {"accuracy": accuracy(probs, labels), "log_loss": log_loss(probs, labels)}


def regression_baselines(run: TrainedRun) -> list[Baseline]:
    """Return the mean, least squares and, if the true function is available, the noise floor."""
    baselines = [_target_mean(run), _least_squares(run)]
    if run.true_function:
        ideal = run.true_function(run.inputs(run.split).float()).double()
        rmse = regression_metrics(ideal, run.truth(run.split))["rmse"]
        baselines.append(Baseline("noise_floor", "the noise floor", {"rmse": rmse}))
    return baselines


def _target_mean(run: TrainedRun) -> Baseline:
    mean, truth = run.truth(run.splits.train).mean(0), run.truth(run.split)
    metrics = _value_metrics(mean.expand_as(truth), truth)
    return Baseline("mean", "always predicting the mean", metrics, {"value": plain(mean)})


def _least_squares(run: TrainedRun) -> Baseline:
    train = run.splits.train
    scaled = fit_least_squares(train.inputs, train.targets)
    fit = scaled.undo_scaling(run.splits.input_scaling, run.splits.target_scaling)
    names = run.info.feature_names or [f"x{i}" for i in range(1, run.info.in_features + 1)]
    learned = {
        "intercept": plain(fit.intercept),
        "coefficients": {name: plain(row) for name, row in zip(names, fit.coefficients, strict=True)},
        "rank": fit.rank,
        "sgd": {
            "coefficient_difference": _coefficient_difference(run.model, scaled),
            "train_mse": run.task.metrics(evaluate_split(run.model, run.task, train))["mse"],
            "least_squares_train_mse": regression_metrics(fit.predict(run.inputs(train)), run.truth(train))["mse"],
        },
    }
    metrics = _value_metrics(fit.predict(run.inputs(run.split)), run.truth(run.split))
    return Baseline("least_squares", "least squares", metrics, learned)


def _coefficient_difference(model: nn.Sequential, fit: LeastSquares) -> float | None:
    """Return max |θ − θ_ls| / max |θ_ls| of a linear model in scaled units.

    None if the model is not linear, or θ_ls is not unique or is 0.
    """
    largest = max(fit.intercept.abs().max().item(), fit.coefficients.abs().max().item())
    if len(model) > 1 or not fit.is_unique or largest == 0:
        return None
    weight, bias = (parameter.detach().cpu().double() for parameter in model.parameters())
    differences = ((weight.t() - fit.coefficients).abs().max(), (bias - fit.intercept).abs().max())
    return max(difference.item() for difference in differences) / largest


def _value_metrics(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    metrics = regression_metrics(outputs, targets)
    return {name: metrics[name] for name in ("rmse", "mae", "r2")}


def describe_against_baselines(
    metrics: Mapping[str, Any], baselines: Sequence[Baseline], *, unit: str = ""
) -> list[str]:
    """Return sentences that compare a run's accuracy or rmse with the baselines, best baseline first.

    An accuracy is called "above" or "below" a baseline. An RMSE is called "better" or "worse", because "above" would
    read as better. The run is "level with" a baseline if the accuracy of the baseline is inside the 95 % interval of
    the run's accuracy, or if the RMSE of the run differs by at most 0.5 %.

    Args:
        metrics: Metrics of the run, from `evaluate_fully`.
        baselines: Baselines evaluated on the same examples.
        unit: Unit of the target; empty if it has none.
    """
    if not baselines:
        return []
    if "accuracy" in metrics:
        ranked = sorted(baselines, key=lambda baseline: -baseline.metrics["accuracy"])
        parts = [_against_accuracy(metrics, baseline) for baseline in ranked]
        return [f"accuracy {metrics['accuracy']:.4f} is {join(parts)}"]
    ranked = sorted(baselines, key=lambda baseline: baseline.metrics["rmse"])
    parts = [_against_rmse(metrics["rmse"], baseline) for baseline in ranked]
    compared = [_against_least_squares(baseline.learned["sgd"]) for baseline in baselines if "sgd" in baseline.learned]
    return [f"rmse {metrics['rmse']:.5g} {unit}".rstrip() + f" is {join(parts)}", *compared]


def _against_accuracy(metrics: Mapping[str, Any], baseline: Baseline) -> str:
    baseline_accuracy, (low, high) = baseline.metrics["accuracy"], metrics["accuracy_interval"]
    if low <= baseline_accuracy <= high:
        return f"level with {baseline.phrase} ({baseline_accuracy:.4f}, inside the 95 % interval)"
    gap = metrics["accuracy"] - baseline_accuracy
    return f"{abs(gap):.4f} {'above' if gap > 0 else 'below'} {baseline.phrase} ({baseline_accuracy:.4f})"


def _against_rmse(rmse: float, baseline: Baseline) -> str:
    baseline_rmse = baseline.metrics["rmse"]
    gap = rmse - baseline_rmse
    if abs(gap) <= 0.005 * baseline_rmse:
        return f"level with {baseline.phrase} ({baseline_rmse:.5g})"
    return f"{abs(gap):.3g} {'worse' if gap > 0 else 'better'} than {baseline.phrase} ({baseline_rmse:.5g})"


def _against_least_squares(sgd: Mapping[str, float | None]) -> str:
    sentence = (
        f"the training mse is {sgd['train_mse']:.5g}, "
        f"compared with {sgd['least_squares_train_mse']:.5g} for least squares"
    )
    if sgd["coefficient_difference"] is None:
        return sentence
    difference = f"{100 * sgd['coefficient_difference']:.2g} % of the largest coefficient"
    return f"the coefficients differ from the least-squares solution by up to {difference}; {sentence}"
