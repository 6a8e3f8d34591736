from __future__ import annotations

import copy
import itertools
from functools import partial

import pytest
import torch
from modelled_gpu import CUDA, modelled_gpu

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.training.events import StepEnded
from dlcli.training.fast.backprop import Batch
from dlcli.training.fast.cuda_graph import _MOST_AHEAD, CapturedSteps, capture
from dlcli.training.fast.step import ManualStep
from dlcli.training.fit import Fit
from dlcli.training.state import TrainingState

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_steps_run_uncaptured_if_capture_fails_or_results_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    with modelled_gpu(monkeypatch) as gpu:
        state, numbers = torch.ones(3, device=CUDA), itertools.count(1)

        def double() -> None:
            state.mul_(2)

        def ask() -> None:
            state.mul_(float(state.sum()))

        def count() -> None:  # a graph repeats the number it was captured with
            state.add_(next(numbers))

        for steps, is_captured in ((double, True), (ask, False), (count, False)):
            taken = capture(steps, [state])
            assert state.tolist() == [1, 1, 1], "left as it was"
            assert (taken is not steps) == is_captured
        gpu.replays.clear()
        capture(double, [state])()
        assert state.tolist() == [2, 2, 2]
        assert gpu.replays == [1, 1], "one to try it, and one for good"


def test_the_host_is_at_most_a_few_calls_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    with modelled_gpu(monkeypatch, "late"):
        taken, batch = torch.zeros(1, device=CUDA), Batch(*(torch.zeros(1, device=CUDA) for _ in Batch._fields))
        steps = CapturedSteps(lambda _, lrs: [taken.add_(lr) for lr in lrs], [taken], most=1)
        ahead = []
        for asked in range(1, 30):
            steps([batch], [1.0])
            ahead.append(asked - int(taken.values))  # type: ignore[attr-defined]  # to look is not to wait
    assert max(ahead) == ahead[-1] == _MOST_AHEAD


@pytest.mark.parametrize("setting", ["optimizer={name: adam, lr: 0.01}", "optimizer.momentum=0.9"])
def test_a_run_with_graphs_resumes_within_an_epoch_with_identical_results(
    setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"training.device={CUDA}", "training.epochs=3", "training.batch_size=10", "model.dropout=0.2", setting]
    config = load_config("digits", settings).config

    def train(state: TrainingState | None = None) -> tuple[list[object], list[TrainingState]]:
        with modelled_gpu(monkeypatch):
            experiment = build_experiment(config)
            fitted = Fit(experiment.model, experiment.task, experiment.splits, config, state, report_seconds=0.0)
            states = [fitted.state() for event in fitted if isinstance(event, StepEnded)]
            return [one.tolist() for one in fitted.parameters().values()], states

    parameters, states = train()
    in_second_epoch = next(state for state in states if state.position.epochs == 1)
    assert in_second_epoch.position.examples
    assert train(in_second_epoch)[0] == parameters


@needs_cuda
@pytest.mark.parametrize("settings", [["optimizer.momentum=0"], ["optimizer={name: adam, lr: 0.01}"]], ids=" ".join)
def test_a_run_with_graphs_matches_autograd(settings: list[str]) -> None:
    shared = ["training.device=cuda", "training.epochs=3", "training.batch_size=50"]
    states = []
    for step in ("eager", "manual"):
        config = load_config("digits", [*shared, *settings, f"training.step={step}"]).config
        experiment = build_experiment(config)
        model = copy.deepcopy(experiment.model)
        for _ in Fit(model, experiment.task, experiment.splits, config):
            pass
        states.append(model.state_dict())
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected, rtol=1e-3, atol=1e-4)


@needs_cuda
def test_steps_are_captured() -> None:
    config = load_config("digits", ["training.device=cuda"]).config
    experiment = build_experiment(config)
    step = ManualStep(experiment.model, experiment.task, experiment.splits.train, config, "torch")
    step.run(torch.arange(128, device="cuda"), [0.1, 0.1])
    replays = step._run_batches._replays.values()  # type: ignore[attr-defined]
    assert replays
    assert not any(isinstance(replay, partial) for replay in replays)
