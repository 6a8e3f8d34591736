"""Public Python API, used by the command line and by notebooks.

Submodules are imported on first access, because importing all of them would add a tenth of a second to every start.
Every function runs isolated: it uses dlcli's own torch settings and restores the caller's afterwards.
"""

from __future__ import annotations

from functools import wraps
from importlib import import_module
from inspect import isfunction
from typing import TYPE_CHECKING, Any

from dlcli.config.load import load_config

if TYPE_CHECKING:
    from dlcli.api.benchmarking import bench
    from dlcli.api.checking import GradcheckResult, gradcheck
    from dlcli.api.diagnosing import DiagnoseResult, diagnose
    from dlcli.api.drawing import DrawResult, draw, list_pictures
    from dlcli.api.explaining import ExplainResult, explain
    from dlcli.api.measuring import EvalResult, PredictResult, evaluate, predict
    from dlcli.api.reporting import ReportResult, compare_page, report
    from dlcli.api.setup import Setup, set_up
    from dlcli.api.studying import StudyOutcome, study
    from dlcli.api.training import TrainResult, plan, resume, train
    from dlcli.api.verifying import VerifyResult, verify

__all__ = [
    "DiagnoseResult",
    "DrawResult",
    "EvalResult",
    "ExplainResult",
    "GradcheckResult",
    "PredictResult",
    "ReportResult",
    "Setup",
    "StudyOutcome",
    "TrainResult",
    "VerifyResult",
    "bench",
    "compare_page",
    "diagnose",
    "draw",
    "evaluate",
    "explain",
    "gradcheck",
    "list_pictures",
    "load_config",
    "plan",
    "predict",
    "report",
    "resume",
    "set_up",
    "study",
    "train",
    "verify",
]

_MODULES = {
    "benchmarking": ("bench",),
    "checking": ("GradcheckResult", "gradcheck"),
    "diagnosing": ("DiagnoseResult", "diagnose"),
    "drawing": ("DrawResult", "draw", "list_pictures"),
    "explaining": ("ExplainResult", "explain"),
    "measuring": ("EvalResult", "PredictResult", "evaluate", "predict"),
    "reporting": ("ReportResult", "compare_page", "report"),
    "setup": ("Setup", "set_up"),
    "studying": ("StudyOutcome", "study"),
    "training": ("TrainResult", "plan", "resume", "train"),
    "verifying": ("VerifyResult", "verify"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f"dlcli.api.{module}"), name)
            globals()[name] = _isolated(value) if isfunction(value) else value
            return globals()[name]
    raise AttributeError(f"module 'dlcli.api' has no attribute {name!r}")


def _isolated(function: Any) -> Any:
    from dlcli.training.isolation import generators_restored, isolated

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with generators_restored(), isolated():
            return function(*arguments, **options)

    return call
