"""A run as an object for notebooks: opened once, with the commands as methods."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ParamSpec, TypeVar

from dlcli.api.arguments import checked
from dlcli.api.loaded import LoadedModel, load
from dlcli.evaluation.diagnosis.diagnose import diagnose
from dlcli.evaluation.evaluate import evaluate, predict
from dlcli.plots.draw import draw
from dlcli.report.page import report
from dlcli.runs import run as run_module
from dlcli.runs.run import Run, RunLike
from dlcli.training.isolation import isolated_function
from dlcli.verification.verify import verify

P = ParamSpec("P")
R = TypeVar("R")


def _method(function: Callable[P, R]) -> Callable[P, R]:
    return isolated_function(checked(function, is_method=True))


class OpenRun(Run):
    """A run with its config, log and records as attributes, and the commands on it as methods.

    Each method takes the options of the function of the same name; see there.
    """

    evaluate = _method(evaluate)
    predict = _method(predict)
    plot = _method(draw)
    report = _method(report)
    diagnose = _method(diagnose)
    verify = _method(verify)

    @cached_property
    def predictor(self) -> LoadedModel:
        """Best model with its preprocessing, for new data; see `load`."""
        return load(self)


def open_run(run: RunLike | None = None) -> OpenRun:
    """Open a run.

    Args:
        run: Run folder, name or a result such as that of `train`; None selects the newest run.

    Raises:
        UsageError: If there is no such run.
        DataError: If the folder exists but holds no run.
    """
    return OpenRun(run_module.open_run(run).folder)
