"""A run as an object for notebooks: opened once, with the commands as methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from html import escape
from typing import Any, ParamSpec, TypeVar

from dlcli.api.arguments import checked
from dlcli.api.loaded import LoadedModel, load
from dlcli.api.verification import verify
from dlcli.config.render import name_value
from dlcli.errors import DlcliError, visible
from dlcli.evaluation.diagnosis.diagnose import diagnose
from dlcli.evaluation.evaluate import evaluate, predict
from dlcli.export.export import export
from dlcli.overview import describe_data, describe_optimizer
from dlcli.plots.draw import draw
from dlcli.report.page import report
from dlcli.runs import run as run_module
from dlcli.runs.comparison import format_metric
from dlcli.runs.run import Run, RunLike
from dlcli.training.isolation import isolated_function

P = ParamSpec("P")
R = TypeVar("R")


def _method(function: Callable[P, R]) -> Callable[P, R]:
    return isolated_function(checked(function, is_method=True))


class OpenRun(Run):
    """A run with its config, log and records as attributes, and the commands on it as methods.

    Each method takes the options of the function of the same name, and `plot` the options of `draw`.
    """

    evaluate = _method(evaluate)
    predict = _method(predict)
    plot = _method(draw)
    report = _method(report)
    diagnose = _method(diagnose)
    verify = _method(verify)
    export = _method(export)

    @cached_property
    def predictor(self) -> LoadedModel:
        """Best model with its preprocessing, for new data; see `load`."""
        return load(self)

    def _repr_html_(self) -> str:
        """Return a short table about the run, for notebooks."""
        try:
            rows = self._describe()
        except DlcliError as error:
            rows = {"error": error.message}
        cells = "".join(
            f"<tr><th style='text-align: left'>{escape(heading)}</th>"
            f"<td style='text-align: left'>{escape(visible(text))}</td></tr>"
            for heading, text in {"run": self.path, **rows}.items()
        )
        return f"<table>{cells}</table>"

    def _describe(self) -> dict[str, str]:
        """Return status, task, data, model, best epoch and metrics by heading, as far as they are known."""
        config, summary = self.config, self.summary
        model = f"{name_value(config.model.hidden_sizes)}, {config.model.activation}"
        best = summary.get("best_epoch")
        splits = {"train": summary.get("train"), "val": summary.get("val"), "test": self.test}
        return {
            "status": self.status,
            "task": config.task,
            "data": describe_data(config),
            "model": f"{model}; {describe_optimizer(config)}",
            **({"best": f"epoch {best} of {summary['epochs']}, {summary['best_because']}"} if best else {}),
            **{split: _describe_metrics(metrics) for split, metrics in splits.items() if metrics},
        }


def _describe_metrics(metrics: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {format_metric(value)}" for name, value in metrics.items() if isinstance(value, float))


def open_run(run: RunLike | None = None) -> OpenRun:
    """Open a run.

    Args:
        run: Run folder, name, or result of a function such as `train`; None selects the newest run.

    Raises:
        UsageError: If there is no such run.
        DataError: If the folder exists but holds no run.
    """
    return OpenRun(run_module.open_run(run).folder)
