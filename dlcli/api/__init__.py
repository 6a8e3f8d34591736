"""The only wiring of the rooms: what the command line and notebooks call.

Modules are imported when a name of theirs is first asked for: together they would take a tenth of a second of every
start. Every function runs isolated: under dlcli's own torch settings, the caller's restored afterwards.
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

_HOMES = {
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
    for home, names in _HOMES.items():
        if name in names:
            found = getattr(import_module(f"dlcli.api.{home}"), name)
            globals()[name] = _isolated(found) if isfunction(found) else found
            return globals()[name]
    raise AttributeError(f"module 'dlcli.api' has no attribute {name!r}")


def _isolated(function: Any) -> Any:
    from dlcli.training.isolation import generators_restored, isolated

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with generators_restored(), isolated():
            return function(*arguments, **options)

    return call
