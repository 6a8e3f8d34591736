from __future__ import annotations

import pytest
import torch

from dlcli.api import build_experiment
from dlcli.config.load import load_config
from dlcli.training import threads
from dlcli.training.arithmetic import Arithmetic, choose_arithmetic
from dlcli.training.fast import onednn
from dlcli.training.fit import Fit


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "machine_cores", lambda: 4)


@pytest.mark.parametrize(
    ("settings", "step", "count"),
    [
        (["model.hidden_sizes=[32]"], "manual", 1),  # 64 examples x 64 inputs x 32 units: 2**17
        (["model.hidden_sizes=[256]"], "manual", 2),  # 2**20
        (["model.hidden_sizes=[256]", "training.batch_size=1024"], "manual", 4),
        (["model.hidden_sizes=[4, 4096]"], "manual", 2),  # the largest product counts
        (["model.hidden_sizes=[32]", "training.batch_size=full"], "manual", 2),  # 1,295 examples
        (["model.hidden_sizes=[256]", "training.threads=3"], "manual", 3),
        (["model.hidden_sizes=[256]", "training.step=eager"], "eager", 2),
        (["model.hidden_sizes=[256]", "training.precision=bf16"], "eager", 2),
        (["model.hidden_sizes=[256]", "training.precision=float64"], "manual", 2),
    ],
)
def test_arithmetic_depends_on_config_sizes_and_hardware(settings: list[str], step: str, count: int) -> None:
    config = load_config("digits", settings).config
    experiment = build_experiment(config)
    assert experiment.arithmetic == Arithmetic(step, count, experiment.arithmetic.library)  # type: ignore[arg-type]
    assert choose_arithmetic(config, experiment.model, len(experiment.splits.train)) == experiment.arithmetic


def test_large_products_use_onednn_if_it_is_faster_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("digits", ["model.hidden_sizes=[256]", "training.device=cpu"]).config
    double = load_config("digits", ["model.hidden_sizes=[256]", "training.precision=float64"]).config
    for faster_from, library in ((2**20, "onednn"), (2**21, "torch")):
        monkeypatch.setattr(onednn, "_faster_from", lambda faster_from=faster_from: faster_from)
        assert build_experiment(config).arithmetic.library == library
        assert build_experiment(double).arithmetic.library == "torch"


def test_run_uses_configured_threads_and_restores_the_callers_threads() -> None:
    config = load_config("digits", ["training.epochs=1", "training.threads=3"]).config
    experiment = build_experiment(config)
    before, seen = torch.get_num_threads(), []
    take = experiment.task.loss_gradient

    def loss_gradient(*arguments: torch.Tensor) -> float:
        seen.append(torch.get_num_threads())
        return take(*arguments)

    experiment.task.loss_gradient = loss_gradient  # type: ignore[method-assign]
    for _ in Fit(experiment.model, experiment.task, experiment.splits, config):
        assert torch.get_num_threads() == before
    assert set(seen) == {3}
