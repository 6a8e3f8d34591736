"""Train, resume, verify, evaluate, predict, study: the only wiring of the rooms, for commands and notebooks."""

from __future__ import annotations

from dlcli.api.benchmarking import bench
from dlcli.api.measuring import EvalResult, PredictResult, evaluate, predict
from dlcli.api.setup import Setup, set_up
from dlcli.api.studying import StudyOutcome, study
from dlcli.api.training import TrainResult, plan, resume, train
from dlcli.api.verifying import VerifyResult, verify
from dlcli.config.load import load_config

__all__ = [
    "EvalResult",
    "PredictResult",
    "Setup",
    "StudyOutcome",
    "TrainResult",
    "VerifyResult",
    "bench",
    "evaluate",
    "load_config",
    "plan",
    "predict",
    "resume",
    "set_up",
    "study",
    "train",
    "verify",
]
