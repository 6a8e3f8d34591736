from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dlcli.api import set_up
from dlcli.config.load import load_config
from dlcli.training import cuda_graph
from dlcli.training.cuda_graph import CapturedPropagation, capture
from dlcli.training.fit import Fit

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_a_graph_that_fails_or_gives_other_gradients_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, gradients = torch.ones(2, 2), [torch.zeros(2, 1)]

    def plain(_inputs: Tensor, _targets: Tensor, outputs: Tensor, _lr: float, _keep: float) -> None:
        outputs.fill_(2)
        gradients[0].fill_(3)

    def build(outputs_value: float, gradient_value: float) -> Callable[..., object]:
        def replay(_inputs: Tensor, _targets: Tensor, outputs: Tensor, _lr: float, _keep: float) -> None:
            outputs.fill_(outputs_value)
            gradients[0].fill_(gradient_value)

        return lambda *_: replay

    def fail(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    for captured, is_used in ((build(2, 3), True), (build(2, 3.1), False), (build(2.1, 3), False), (fail, False)):
        monkeypatch.setattr(cuda_graph, "CapturedPropagation", captured)
        assert (capture(plain, inputs, inputs, torch.zeros(2, 1), gradients) is not plain) == is_used


@needs_cuda
@pytest.mark.parametrize("settings", [["optimizer.momentum=0"], ["optimizer={name: adam, lr: 0.01}"]], ids=" ".join)
def test_a_run_by_graphs_is_that_of_autograd(settings: list[str]) -> None:
    shared = ["training.device=cuda", "training.epochs=3", "training.batch_size=50", "training.precision=float64"]
    states = []
    for step in ("eager", "manual"):
        config = load_config("digits", [*shared, *settings, f"training.step={step}"]).config
        setup = set_up(config)
        model = copy.deepcopy(setup.model)
        for _ in Fit(model, setup.task, setup.splits, config):
            pass
        states.append(model.state_dict())
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected, rtol=1e-9, atol=1e-9)


@needs_cuda
def test_whole_batches_are_captured() -> None:
    config = load_config("digits", ["training.device=cuda"]).config
    setup = set_up(config)
    from dlcli.training.manual import ManualStep

    step = ManualStep(setup.model, setup.task, setup.splits.train, config)
    step.run(torch.arange(128, device="cuda"), [0.1, 0.1])
    assert {type(one) for one in step._propagations.values()} == {CapturedPropagation}
