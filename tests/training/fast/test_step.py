"""Steps on a modelled GPU: what the host, its streams and graphs get wrong shows without one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from modelled_gpu import CPU, CUDA, Schedule, modelled_gpu
from torch import Tensor

from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo, Split
from dlcli.model import build_mlp
from dlcli.task import build_task
from dlcli.training import batches
from dlcli.training.batches import count_batches, draw_order
from dlcli.training.fast import cuda_graph
from dlcli.training.fast.step import ManualStep
from dlcli.training.generators import seed_generators

EXAMPLES, FEATURES, BATCH_SIZE, EPOCHS = 200, 8, 32, 3
SETTINGS = {
    "digits": [
        "optimizer={name: sgd}",
        "optimizer={name: sgd, weight_decay: 0.01}",
        "optimizer={name: sgd, momentum: 0.9, nesterov: true}",
        "optimizer={name: adam, weight_decay: 0.01}",
        "optimizer={name: adamw, weight_decay: 0.1}",
        "optimizer={name: rmsprop, momentum: 0.9, weight_decay: 0.01}",
        "training.gradient_clip_norm=0.1",
        "training.batch_size=full",
        "model.dropout=0.3",
        "model.head=l1",
        "model.activation=gelu",
        "loss={name: mse}",
        "loss.label_smoothing=0.1",
        "loss.class_weights=[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]",
    ],
    "sine_regression": ["loss={name: mse}", "loss={name: l1}", "loss={name: huber}"],
}
CASES = [(preset, setting) for preset, settings in SETTINGS.items() for setting in settings]


class Training:
    """Steps over a few made-up examples; each has its learning rate."""

    def __init__(self, preset: str, setting: str, device: torch.device, data_device: torch.device) -> None:
        self._config: Config = load_config(preset, [f"training.batch_size={BATCH_SIZE}", setting]).config
        torch.manual_seed(0)
        is_classification = self._config.task == "classification"
        k = 10 if is_classification else 2
        if is_classification:  # images, as bytes
            pixels, labels = torch.randint(256, (EXAMPLES, FEATURES)), torch.randint(k, (EXAMPLES,))
            train = Split(pixels.to(torch.uint8), labels, Scaling(torch.tensor([100.0]), torch.tensor([50.0])))
        else:
            train = Split(torch.randn(EXAMPLES, FEATURES), torch.randn(EXAMPLES, k))
        self._train = train.to(data_device, torch.float32)
        info = DataInfo("made up", self._config.task, FEATURES, k)
        self._model = build_mlp(FEATURES, k, self._config.model, seed=0).to(device)
        self._device = device
        task = build_task(self._config, info, Scaling.identity(), train.targets)
        self.step = ManualStep(self._model, task, self._train, self._config, "torch")

    def run(self, epochs: Sequence[int]) -> list[Tensor]:
        """Return the sums of the losses, on the device."""
        batch_size = self._config.training.batch_size
        sums = []
        for epoch in epochs:
            seed_generators(self._device, epoch)
            index = None if batch_size == "full" else draw_order(EXAMPLES, 0, epoch).to(self._train.device)
            lrs = [0.1 / (epoch + i) for i in range(1, 1 + count_batches(EXAMPLES, batch_size))]
            sums.append(self.step.run(index, lrs)[0])
        return sums

    def parameters(self) -> list[Tensor]:
        self.step.update_model()
        return [parameter.detach().to(CPU, copy=True) for parameter in self._model.parameters()]


@pytest.mark.parametrize("schedule", [pytest.param("at once", marks=pytest.mark.long), "late", 1])
@pytest.mark.parametrize("data_device", [CUDA, CPU], ids=["resident", "too large"])
@pytest.mark.parametrize(("preset", "setting"), CASES)
def test_gpu_graphs_match_cpu_steps_without_host_waits(
    preset: str, setting: str, data_device: torch.device, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(batches._GATHERED_BYTES, "cuda", 3 * BATCH_SIZE * FEATURES * 4)  # three batches at once
    with modelled_gpu(monkeypatch, schedule) as gpu:
        training = Training(preset, setting, CUDA, data_device)
        sums = training.run([0])
        assert gpu.replays, "steps are captured"
        gpu.streams.synchronize()
        for noted in (gpu.waits, gpu.kernels, gpu.replays):
            noted.clear()
        indices = 0 if setting == "training.batch_size=full" or data_device == CPU else EPOCHS - 1
        sums += training.run(range(1, EPOCHS))
        assert gpu.waits == [f"a copy of torch.int64 ({EXAMPLES},)"] * indices, "but for an epoch's order"
        assert not any("mm" in kernel for kernel in gpu.kernels), "what is not in a graph"
        losses, parameters = [float(one) for one in sums], training.parameters()
    if "dropout" in setting:  # a GPU draws other numbers
        with modelled_gpu(monkeypatch, "at once"):
            monkeypatch.setattr(cuda_graph, "capture", lambda steps, _: steps)
            expected = Training(preset, setting, CUDA, CUDA)
            expected_losses, expected_parameters = expected.run(range(EPOCHS)), expected.parameters()
            assert losses == [float(one) for one in expected_losses]
    else:
        expected = Training(preset, setting, CPU, CPU)
        expected_losses, expected_parameters = expected.run(range(EPOCHS)), expected.parameters()
        assert losses == pytest.approx([float(one) for one in expected_losses], rel=1e-4)
    for found, one in zip(parameters, expected_parameters, strict=True):
        torch.testing.assert_close(found, one, rtol=1e-3, atol=1e-5)
