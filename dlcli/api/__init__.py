"""Train, resume, verify, evaluate, predict, draw: the only wiring of the rooms, for command line and notebooks."""

from __future__ import annotations

from dlcli.api.benchmarking import bench
from dlcli.api.drawing import DrawResult, draw, list_pictures
from dlcli.api.measuring import EvalResult, PredictResult, evaluate, predict
from dlcli.api.setup import Setup, set_up
from dlcli.api.training import TrainResult, plan, resume, train
from dlcli.api.verifying import VerifyResult, verify
from dlcli.config.load import load_config

__all__ = [
    "DrawResult",
    "EvalResult",
    "PredictResult",
    "Setup",
    "TrainResult",
    "VerifyResult",
    "bench",
    "draw",
    "evaluate",
    "list_pictures",
    "load_config",
    "plan",
    "predict",
    "resume",
    "set_up",
    "train",
    "verify",
]
