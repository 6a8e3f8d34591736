"""Commands on a simulated GPU, which raises an error for operations on tensors of different devices."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import Finished
from modelled_gpu import CUDA, modelled_gpu

from dlcli.training.fast.batched import BatchedStack


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param("digits training.batch_size=100", marks=pytest.mark.long),
        pytest.param("digits training.step=eager", marks=pytest.mark.long),
        "moons",
        pytest.param("sine_regression", marks=pytest.mark.long),
    ],
)
def test_train_eval_verify_and_report_work_on_a_simulated_gpu(
    settings: str, dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = {}
    for device in ("cpu", str(CUDA)):
        with modelled_gpu(monkeypatch, 1) as gpu:
            trained = dlcli(
                "train", "-c", *settings.split(), "training.epochs=3", "--device", device, "--eval", "--json"
            )
            for command in (["eval"], ["verify"], ["report"]):
                done = dlcli(*command)
                assert done.code == 0, done.err
        assert bool(gpu.replays) == (device != "cpu" and "eager" not in settings), "steps are captured"
        test = json.loads(trained.out)["test"]
        metrics[device] = {name: value for name, value in test.items() if isinstance(value, float)}
    assert metrics[str(CUDA)] == pytest.approx(metrics["cpu"], rel=1e-4)


def test_seeds_are_trained_together_on_a_simulated_gpu(
    dlcli: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds 0, 1 and 2 have the metrics of a CPU up to rounding, and continue after more epochs are asked for."""
    settings = ["training.batch_size=400", "training.epochs=2", "scheduler.name=none", "model.hidden_sizes=[9]"]
    sizes: list[int] = []
    build = BatchedStack.__init__

    def count(stack, steps, *rest) -> None:  # type: ignore[no-untyped-def]
        sizes.append(len(steps))
        build(stack, steps, *rest)

    monkeypatch.setattr(BatchedStack, "__init__", count)
    metrics = {}
    for device in ("cpu", str(CUDA)):
        with modelled_gpu(monkeypatch, "late") as gpu:
            group = f"runs/on-{device[:3]}"
            command = ["train", "-c", "digits", *settings, "--device", device, "--seeds", "3", "--run-dir", group]
            assert dlcli(*command).code == 0
            resumed = dlcli("train", "--resume", group, "training.epochs=4", "--eval", "--json")
            assert resumed.code == 0, resumed.err
            metrics[device] = [seed["test"] for seed in json.loads(resumed.out)["seeds"]]
        assert bool(gpu.replays) == (device != "cpu"), "steps are captured"
    assert sizes == [3, 3]
    for actual, expected in zip(metrics[str(CUDA)], metrics["cpu"], strict=True):
        assert actual["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert actual["accuracy"] == pytest.approx(expected["accuracy"], abs=0.005)
