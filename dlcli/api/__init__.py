"""Train, resume, verify, evaluate, predict, diagnose: the only wiring of the rooms, for commands and for notebooks."""

from __future__ import annotations

from dlcli.api.benchmarking import bench
from dlcli.api.diagnosing import DiagnoseResult, diagnose
from dlcli.api.measuring import EvalResult, PredictResult, evaluate, predict
from dlcli.api.setup import Setup, set_up
from dlcli.api.training import TrainResult, plan, resume, train
from dlcli.api.verifying import VerifyResult, verify
from dlcli.config.load import load_config

__all__ = [
    "DiagnoseResult",
    "EvalResult",
    "PredictResult",
    "Setup",
    "TrainResult",
    "VerifyResult",
    "bench",
    "diagnose",
    "evaluate",
    "load_config",
    "plan",
    "predict",
    "resume",
    "set_up",
    "train",
    "verify",
]
