"""What steps would do on a CUDA device, with tensors that have a device and no values: no GPU is needed for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlcli.config.load import load_config
from dlcli.config.schema import Config
from dlcli.data.scaling import Scaling
from dlcli.data.splits import DataInfo, Split, Splits
from dlcli.model import build_mlp
from dlcli.task import build_task
from dlcli.training import manual
from dlcli.training.manual import ManualStep

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
EXAMPLES, FEATURES, BATCH_SIZE = 100, 8, 32
SETTINGS = {
    "digits": [
        "optimizer={name: sgd}",
        "optimizer={name: sgd, momentum: 0.9, nesterov: true}",
        "optimizer={name: adamw, weight_decay: 0.1}",
        "training.gradient_clip_norm=1",
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


@contextmanager
def transfers() -> Iterator[list[str]]:
    """List the operations on tensors of more than one device, but for copies that nobody waits for."""
    found: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = function(*args, **(kwargs or {}))
            devices = {one.device for one in tree_leaves((args, kwargs, result)) if isinstance(one, Tensor)}
            is_copy = function is torch.ops.aten.copy_.default
            if len(devices) > 1 and not (is_copy and args[2:] == (True,)):
                found.append(str(function))
            return result

    with Watch():
        yield found


def build_step(config: Config, layers: nn.Sequential, where: torch.device) -> ManualStep:
    k = layers[-1].out_features
    if config.task == "classification":  # images, as bytes
        scaling = Scaling(torch.empty(1), torch.empty(1))
        train = Split(torch.empty(EXAMPLES, FEATURES, dtype=torch.uint8), torch.empty(EXAMPLES).long(), scaling)
    else:
        train = Split(torch.empty(EXAMPLES, FEATURES), torch.empty(EXAMPLES, k))
    train = train.to(where, torch.float32)
    info = DataInfo("made", config.task, FEATURES, k)
    splits = Splits(info, train, train, train, Scaling.identity(), Scaling.identity())
    on_cuda = [
        nn.Linear(one.in_features, one.out_features, device=CUDA) if isinstance(one, nn.Linear) else one
        for one in layers
    ]
    return ManualStep(nn.Sequential(*on_cuda), build_task(config, splits), train, config)


@pytest.mark.parametrize("where", [CUDA, CPU], ids=["resident", "too large"])
@pytest.mark.parametrize(("preset", "setting"), [(preset, one) for preset, all_ in SETTINGS.items() for one in all_])
def test_on_cuda_the_host_waits_for_nothing(
    preset: str, setting: str, where: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(preset, [f"training.batch_size={BATCH_SIZE}", setting]).config
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the same test where there is a device
    monkeypatch.setattr(manual, "capture", lambda propagation, *_: propagation)  # a graph needs a device
    monkeypatch.setattr(Scaling, "_shifts", True)  # asked for once, by value
    is_full = config.training.batch_size == "full"
    layers = build_mlp(FEATURES, 10 if config.task == "classification" else 2, config.model, seed=0)
    with FakeTensorMode():  # any question for a value is an error, and so are tensors of two devices
        step = build_step(config, layers, where)
        index = None if is_full else torch.arange(EXAMPLES, device=where)
        lrs = [0.1] * (1 if is_full else -(-EXAMPLES // BATCH_SIZE))
        step.run(index, lrs)  # makes what is kept
        with transfers() as found:
            loss_sum, weight = step.run(index, lrs)
    assert found == []
    assert {loss_sum.device, weight.device} == {CUDA}


def test_a_question_for_a_value_and_a_copy_are_noticed() -> None:
    with FakeTensorMode():
        on_device = torch.empty(3, device=CUDA)
        with pytest.raises(Exception, match="_local_scalar_dense"):
            float(on_device.sum())
        with transfers() as found:
            torch.empty(3).to(CUDA)
    assert found == ["aten._to_copy.default"]
