"""Train, resume, verify, evaluate, predict, report: the only wiring of the rooms, for command line and notebooks."""

from __future__ import annotations

from dlcli.api.benchmarking import bench
from dlcli.api.measuring import EvalResult, PredictResult, evaluate, predict
from dlcli.api.reporting import ReportResult, compare_page, report
from dlcli.api.setup import Setup, set_up
from dlcli.api.training import TrainResult, plan, resume, train
from dlcli.api.verifying import VerifyResult, verify
from dlcli.config.load import load_config

__all__ = [
    "EvalResult",
    "PredictResult",
    "ReportResult",
    "Setup",
    "TrainResult",
    "VerifyResult",
    "bench",
    "compare_page",
    "evaluate",
    "load_config",
    "plan",
    "predict",
    "report",
    "resume",
    "set_up",
    "train",
    "verify",
]
