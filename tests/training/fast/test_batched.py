"""Batched stacks on a modelled GPU: a graph for all steps of a chunk, and one wait of the host for each chunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from modelled_gpu import CPU, CUDA, Schedule, modelled_gpu
from torch import Tensor

from dlcli.config.load import load_config
from dlcli.experiment import build_experiments
from dlcli.training.batches import draw_order
from dlcli.training.fast.batched import BatchedStack
from dlcli.training.fast.step import ManualStep
from tests.training.together.trainings import seeds, train_alone, train_group

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

MODELS, EPOCHS = 3, 3
OPTIMIZERS = [
    "optimizer={name: sgd}",
    "optimizer={name: sgd, momentum: 0.9, nesterov: true, weight_decay: 0.01}",
    "optimizer={name: adam, weight_decay: 0.01}",
    "optimizer={name: adamw, weight_decay: 0.1}",
    "optimizer={name: rmsprop, momentum: 0.9, weight_decay: 0.01}",
    "training.gradient_clip_norm=0.1",
]
LOSSES = {
    "digits": [
        "training.batch_size=full",
        "model.activation=gelu",
        "loss={name: mse}",
        "loss.label_smoothing=0.1",
        "loss.class_weights=balanced",
    ],
    "diabetes": ["loss={name: mse}", "loss={name: l1}", "loss={name: huber}"],
}
CASES = [
    *(("digits", setting, same_rates) for setting in OPTIMIZERS for same_rates in (True, False)),
    *((preset, setting, True) for preset, settings in LOSSES.items() for setting in settings),
]


class Training:
    """Steps of a stack of models that share one copy of the data."""

    def __init__(self, preset: str, setting: str, device: torch.device, *, same_rates: bool) -> None:
        settings = [f"training.device={device}", "training.batch_size=200", "model.hidden_sizes=[9]", setting]
        config = load_config(preset, settings).config
        parts = build_experiments(config, range(MODELS))
        self._models, self._same_rates = [part.model for part in parts], same_rates
        self.steps = [ManualStep(p.model, p.task, p.splits.train, p.config, "torch") for p in parts]
        assert len({id(part.splits.train.storage) for part in parts}) == 1, "one copy of the data"
        self.stack = BatchedStack(self.steps, config.optimizer if same_rates else None, 0)

    def run(self, epochs: Sequence[int]) -> list[float]:
        """Return the sums of the losses of each chunk and model."""
        sums = []
        for epoch in epochs:
            step = self.steps[0]
            is_full = step.batch_size == len(step.train)
            order = draw_order(len(step.train), 0, epoch).to(step.train.device)
            index = [None if is_full else order for _ in self.steps]
            rates = [[0.01 / (epoch + number + 1)] * -(-len(order) // step.batch_size) for number in range(MODELS)]
            given = [rates[0]] * MODELS if self._same_rates else rates
            sums += [float(loss) for loss, _ in self.stack.run(index, given)]
        return sums

    def parameters(self) -> list[Tensor]:
        for step in self.steps:
            step.update_model()
        return [part.detach().to(CPU, copy=True) for model in self._models for part in model.parameters()]


@pytest.mark.parametrize("schedule", ["late", *(pytest.param(seed, marks=pytest.mark.long) for seed in ("at once", 1))])
@pytest.mark.parametrize(("preset", "setting", "same_rates"), CASES)
def test_graphs_of_a_stack_match_the_cpu_and_wait_once_a_chunk(
    preset: str, setting: str, same_rates: bool, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    with modelled_gpu(monkeypatch, schedule) as gpu:
        training = Training(preset, setting, CUDA, same_rates=same_rates)
        sums = training.run([0])
        assert gpu.replays, "steps are captured"
        gpu.streams.synchronize()
        for noted in (gpu.waits, gpu.kernels, gpu.replays):
            noted.clear()
        sums += training.run(range(1, EPOCHS))
        orders = [wait for wait in gpu.waits if "int64" in wait and f"({len(training.steps[0].train)},)" in wait]
        assert len(gpu.waits) - len(orders) == 2 * (EPOCHS - 1), f"the losses and weights of a chunk: {gpu.waits}"
        assert len(gpu.replays) == EPOCHS - 1, "one for each chunk"
        assert not any("mm" in kernel for kernel in gpu.kernels), "what is not in a graph"
        parameters = training.parameters()
    expected = Training(preset, setting, CPU, same_rates=same_rates)
    assert sums == pytest.approx(expected.run(range(EPOCHS)), rel=1e-4)
    for actual, value in zip(parameters, expected.parameters(), strict=True):
        torch.testing.assert_close(actual, value, rtol=1e-3, atol=1e-5)


def test_a_diverging_model_affects_neither_the_graph_nor_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for rate in (0.1, 1e18):
        with modelled_gpu(monkeypatch) as gpu:
            training = Training("digits", "model.activation=relu", CUDA, same_rates=False)
            step = training.steps[0]
            index = [draw_order(len(step.train), 0, 1).to(CUDA) for _ in range(MODELS)]
            steps = -(-len(step.train) // step.batch_size)
            sums = training.stack.run(index, [[0.1] * steps, [rate] * steps, [0.05] * steps])
            assert len(gpu.replays) == 2, "one replay to check the graph, and one for good"
            results.append(([float(loss) for loss, _ in sums], training.parameters()))
    (_, calm), (losses, parameters) = results
    assert not math.isfinite(losses[1])
    n = len(calm) // MODELS
    for place in (0, 2):
        for actual, expected in zip(parameters[place * n :][:n], calm[place * n :][:n], strict=True):
            assert torch.equal(actual, expected)


@needs_cuda
@pytest.mark.parametrize(("preset", "setting", "same_rates"), CASES)
def test_a_stack_on_a_gpu_matches_the_cpu(preset: str, setting: str, same_rates: bool) -> None:
    actual, expected = (
        Training(preset, setting, torch.device(name), same_rates=same_rates) for name in ("cuda:0", "cpu")
    )
    assert actual.run(range(EPOCHS)) == pytest.approx(expected.run(range(EPOCHS)), rel=1e-4)
    for parameter, value in zip(actual.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, value, rtol=1e-3, atol=1e-5)
    replays = actual.stack._run_batches._replays.values()  # type: ignore[attr-defined]
    assert replays, "steps are captured"
    assert not any(isinstance(replay, partial) for replay in replays)


@needs_cuda
def test_a_group_on_a_gpu_matches_its_models_alone() -> None:
    settings = ("training.device=cuda", "training.epochs=5", "model.hidden_sizes=[33]", "optimizer.lr=0.01")
    configs = seeds("digits", 64, *settings)
    for actual, expected in zip(train_group(configs), map(train_alone, configs[:3]), strict=False):
        assert actual.state is not None
        assert expected.state is not None
        assert len(actual.events) == len(expected.events)
        for name, value in expected.state.parameters.items():
            torch.testing.assert_close(actual.state.parameters[name], value, rtol=1e-3, atol=1e-4)
