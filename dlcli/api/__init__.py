"""Train, resume, verify, evaluate, predict, diagnose, check, explain: the only wiring, for commands and notebooks."""

from __future__ import annotations

from dlcli.api.benchmarking import bench
from dlcli.api.checking import GradcheckResult, gradcheck
from dlcli.api.diagnosing import DiagnoseResult, diagnose
from dlcli.api.explaining import ExplainResult, explain
from dlcli.api.measuring import EvalResult, PredictResult, evaluate, predict
from dlcli.api.setup import Setup, set_up
from dlcli.api.training import TrainResult, plan, resume, train
from dlcli.api.verifying import VerifyResult, verify
from dlcli.config.load import load_config

__all__ = [
    "DiagnoseResult",
    "EvalResult",
    "ExplainResult",
    "GradcheckResult",
    "PredictResult",
    "Setup",
    "TrainResult",
    "VerifyResult",
    "bench",
    "diagnose",
    "evaluate",
    "explain",
    "gradcheck",
    "load_config",
    "plan",
    "predict",
    "resume",
    "set_up",
    "train",
    "verify",
]
