"""Public Python API, used by the command line and by notebooks.

Submodules are imported on first access, because importing all of them would add a tenth of a second to every start.
Every function checks its arguments and runs isolated: it uses dlcli's own torch settings, and restores the settings of
the caller afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from inspect import isfunction
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dlcli.api.arguments import checked
from dlcli.config import load as config_files

if TYPE_CHECKING:
    from dlcli.api.group_training import plan_seeds, resume_seeds, train_seeds
    from dlcli.api.loaded import LoadedModel, load, predict_input
    from dlcli.api.opened import OpenRun, open_run
    from dlcli.api.run_group import SeedsResult
    from dlcli.api.run_training import TrainResult
    from dlcli.api.sweeps import report_sweep, resume_sweep, show_sweep, sweep
    from dlcli.api.training import plan, resume, train
    from dlcli.api.verification import verify
    from dlcli.bench.bench import bench
    from dlcli.evaluation.data import evaluate_data
    from dlcli.evaluation.diagnosis.diagnose import DiagnoseResult, diagnose
    from dlcli.evaluation.evaluate import EvalResult, PredictResult, evaluate, predict
    from dlcli.experiment import Experiment, build_experiment
    from dlcli.export.export import ExportResult, export
    from dlcli.lecture.check import GradcheckResult, gradcheck
    from dlcli.lecture.explain import ExplainResult, explain
    from dlcli.lecture.studies.run import StudyOutcome, study
    from dlcli.plots.comparison import compare_figure
    from dlcli.plots.draw import DrawResult, draw, list_pictures
    from dlcli.plots.group import compare_seeds_figure
    from dlcli.report.compare import compare_page
    from dlcli.report.group import report_seeds
    from dlcli.report.group_comparison import compare_seeds_page
    from dlcli.report.page import ReportResult, report
    from dlcli.sweeps.records import SweepResult
    from dlcli.verification.verify import VerifyResult

__all__ = [
    "DiagnoseResult",
    "DrawResult",
    "EvalResult",
    "Experiment",
    "ExplainResult",
    "ExportResult",
    "GradcheckResult",
    "LoadedModel",
    "OpenRun",
    "PredictResult",
    "ReportResult",
    "SeedsResult",
    "StudyOutcome",
    "SweepResult",
    "TrainResult",
    "VerifyResult",
    "bench",
    "build_experiment",
    "compare_figure",
    "compare_page",
    "compare_seeds_figure",
    "compare_seeds_page",
    "diagnose",
    "draw",
    "evaluate",
    "evaluate_data",
    "explain",
    "export",
    "gradcheck",
    "list_pictures",
    "load",
    "load_config",
    "open_run",
    "plan",
    "plan_seeds",
    "predict",
    "predict_input",
    "report",
    "report_seeds",
    "report_sweep",
    "resume",
    "resume_seeds",
    "resume_sweep",
    "show_sweep",
    "study",
    "sweep",
    "train",
    "train_seeds",
    "verify",
]

load_config = checked(config_files.load_config)  # needs no isolation, since it does not use torch

_MODULES = {
    "api.loaded": ("LoadedModel", "load", "predict_input"),
    "api.opened": ("OpenRun", "open_run"),
    "api.group_training": ("plan_seeds", "resume_seeds", "train_seeds"),
    "api.run_group": ("SeedsResult",),
    "api.run_training": ("TrainResult",),
    "api.sweeps": ("report_sweep", "resume_sweep", "show_sweep", "sweep"),
    "api.training": ("plan", "resume", "train"),
    "api.verification": ("verify",),
    "bench.bench": ("bench",),
    "evaluation.diagnosis.diagnose": ("DiagnoseResult", "diagnose"),
    "evaluation.data": ("evaluate_data",),
    "evaluation.evaluate": ("EvalResult", "PredictResult", "evaluate", "predict"),
    "experiment": ("Experiment", "build_experiment"),
    "export.export": ("ExportResult", "export"),
    "lecture.check": ("GradcheckResult", "gradcheck"),
    "lecture.explain": ("ExplainResult", "explain"),
    "lecture.studies.run": ("StudyOutcome", "study"),
    "plots.draw": ("DrawResult", "draw", "list_pictures"),
    "plots.comparison": ("compare_figure",),
    "plots.group": ("compare_seeds_figure",),
    "report.compare": ("compare_page",),
    "report.group": ("report_seeds",),
    "report.group_comparison": ("compare_seeds_page",),
    "report.page": ("ReportResult", "report"),
    "sweeps.records": ("SweepResult",),
    "verification.verify": ("VerifyResult",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            _import_all(import_module(f"dlcli.{module}"), names)
            return globals()[name]
    raise AttributeError(f"module 'dlcli.api' has no attribute {name!r}")


def _import_all(module: ModuleType, names: Sequence[str]) -> None:
    """Make all public names of a module available at once.

    The import of a submodule sets its name in this package, which would hide a function of the same name.
    """
    from dlcli.training.isolation import isolated_function

    for name in names:
        value = getattr(module, name)
        globals()[name] = isolated_function(checked(value)) if isfunction(value) else value
