from __future__ import annotations

import pytest
import torch

from dlcli.api import set_up
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
def test_it_follows_from_config_sizes_and_hardware(settings: list[str], step: str, count: int) -> None:
    config = load_config("digits", settings).config
    setup = set_up(config)
    assert setup.arithmetic == Arithmetic(step, count, setup.arithmetic.library)  # type: ignore[arg-type]
    assert choose_arithmetic(config, setup.model, len(setup.splits.train)) == setup.arithmetic


def test_large_products_are_onednns_where_the_processor_is_faster_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("digits", ["model.hidden_sizes=[256]", "training.device=cpu"]).config
    double = load_config("digits", ["model.hidden_sizes=[256]", "training.precision=float64"]).config
    for faster_from, library in ((2**20, "onednn"), (2**21, "torch")):
        monkeypatch.setattr(onednn, "_faster_from", lambda faster_from=faster_from: faster_from)
        assert set_up(config).arithmetic.library == library
        assert set_up(double).arithmetic.library == "torch"


def test_a_run_trains_with_its_own_number_of_threads_and_leaves_the_callers() -> None:
    config = load_config("digits", ["training.epochs=1", "training.threads=3"]).config
    setup = set_up(config)
    before, seen = torch.get_num_threads(), []
    take = setup.task.loss_gradient

    def loss_gradient(*arguments: torch.Tensor) -> float:
        seen.append(torch.get_num_threads())
        return take(*arguments)

    setup.task.loss_gradient = loss_gradient  # type: ignore[method-assign]
    for _ in Fit(setup.model, setup.task, setup.splits, config):
        assert torch.get_num_threads() == before
    assert set(seen) == {3}
