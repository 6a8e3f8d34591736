"""Learning-rate schedules, compared with torch.optim."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler as torch_schedulers

from dlcli.config.load import load_config
from dlcli.training.schedule import Schedule

EPOCHS, STEPS = 8, 5


def factors(settings: str, val_losses: list[float] | None = None) -> list[float]:
    config = load_config("digits", [f"scheduler={settings}"]).config.scheduler
    schedule = Schedule(config, EPOCHS, STEPS)
    factors_by_step = []
    for epoch in range(EPOCHS):
        factors_by_step += [schedule.factor(epoch * STEPS + step) for step in range(1, STEPS + 1)]
        schedule.epoch_ended(val_losses[epoch] if val_losses else 0.0)
    return factors_by_step


def torch_factors(make: Callable[[torch.optim.Optimizer], object], *, each: str) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    factors_by_step = []
    for _ in range(EPOCHS):
        for _ in range(STEPS):
            factors_by_step.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if each == "step" and len(factors_by_step) < EPOCHS * STEPS:
                scheduler.step()  # type: ignore[attr-defined]
        if each == "epoch":
            scheduler.step()  # type: ignore[attr-defined]
    return factors_by_step


@pytest.mark.parametrize(
    ("settings", "make", "each"),
    [
        (
            "{name: cosine, final_fraction: 0.1}",
            lambda o: torch_schedulers.CosineAnnealingLR(o, EPOCHS * STEPS, eta_min=0.1),
            "step",
        ),
        ("{name: step, step_size: 3, gamma: 0.5}", lambda o: torch_schedulers.StepLR(o, 3, 0.5), "epoch"),
        ("{name: exponential, gamma: 0.8}", lambda o: torch_schedulers.ExponentialLR(o, 0.8), "epoch"),
        (
            "{name: one_cycle}",
            lambda o: torch_schedulers.OneCycleLR(o, 1.0, total_steps=EPOCHS * STEPS, cycle_momentum=False),
            "step",
        ),
        ("{name: none}", lambda o: torch_schedulers.ConstantLR(o, factor=1.0), "step"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_schedules_match_torch(settings: str, make: Callable[[torch.optim.Optimizer], object], each: str) -> None:
    assert factors(settings) == pytest.approx(torch_factors(make, each=each), abs=1e-12)


def test_plateau_matches_torch() -> None:
    losses = [1.0, 0.5, 0.6, 0.5, 0.7, 0.4, 0.4, 0.4]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch_schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0.0)
    expected = []
    for loss in losses:
        expected += [optimizer.param_groups[0]["lr"]] * STEPS
        scheduler.step(loss)
    assert factors("{name: plateau, factor: 0.5, patience: 1}", losses) == expected
    assert expected[-1] < 1


@pytest.mark.parametrize("name", ["none", "cosine", "step", "exponential", "one_cycle", "plateau"])
def test_warmup_rises_linearly_to_the_start_of_the_schedule(name: str) -> None:
    factors_by_step = factors(f"{{name: {name}, warmup_epochs: 2}}")
    start = factors_by_step[10] if name != "one_cycle" else 0.04
    rise = [start * step / 10 for step in range(1, 11)]
    assert factors_by_step[:10] == pytest.approx(rise, rel=1e-6)
    assert max(factors_by_step) <= 1
