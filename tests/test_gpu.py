"""Commands on a simulated GPU, which raises an error for operations on tensors of different devices."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import Finished
from modelled_gpu import CUDA, modelled_gpu


@pytest.mark.parametrize(
    "settings", ["digits training.batch_size=100", "digits training.step=eager", "sine_regression"]
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
