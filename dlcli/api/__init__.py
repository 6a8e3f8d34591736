"""The only wiring of the rooms: what the command line and notebooks call.

What training needs is imported with the package, the rest when it is asked for: together it would take a tenth of a
second of every start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlcli.api.measuring import EvalResult, PredictResult, evaluate, predict
from dlcli.api.setup import Setup, set_up
from dlcli.api.training import TrainResult, plan, resume, train
from dlcli.config.load import load_config

if TYPE_CHECKING:
    from dlcli.api.benchmarking import bench
    from dlcli.api.checking import GradcheckResult, gradcheck
    from dlcli.api.diagnosing import DiagnoseResult, diagnose
    from dlcli.api.drawing import DrawResult, draw, list_pictures
    from dlcli.api.explaining import ExplainResult, explain
    from dlcli.api.reporting import ReportResult, compare_page, report
    from dlcli.api.studying import StudyOutcome, study
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

_LATE = {
    "benchmarking": ("bench",),
    "checking": ("GradcheckResult", "gradcheck"),
    "diagnosing": ("DiagnoseResult", "diagnose"),
    "drawing": ("DrawResult", "draw", "list_pictures"),
    "explaining": ("ExplainResult", "explain"),
    "reporting": ("ReportResult", "compare_page", "report"),
    "studying": ("StudyOutcome", "study"),
    "verifying": ("VerifyResult", "verify"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATE.items():
        if name in names:
            return getattr(import_module(f"dlcli.api.{module}"), name)
    raise AttributeError(f"module 'dlcli.api' has no attribute {name!r}")
