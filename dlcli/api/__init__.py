"""The only wiring of the rooms: what the command line and notebooks call."""

from __future__ import annotations

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
from dlcli.config.load import load_config

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
