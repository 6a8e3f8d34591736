from __future__ import annotations

import pytest
import torch

from dlcli.config.load import load_config
from dlcli.data.sources import load_splits
from dlcli.errors import DeviceError
from dlcli.training import device as device_module
from dlcli.training.device import check_memory, dtype_for, pick_device

CUDA, MPS = torch.cuda.is_available(), torch.backends.mps.is_available()


def test_auto_prefers_cuda_then_mps_then_cpu() -> None:
    assert pick_device("auto").type == ("cuda" if CUDA else "mps" if MPS else "cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps"])
def test_error_names_a_missing_device(name: str) -> None:
    if (name == "mps" and MPS) or (name == "cuda" and CUDA) or torch.cuda.device_count() > 7:
        pytest.skip(f"this machine has {name}")
    with pytest.raises(DeviceError, match=f"cannot use device {name}") as caught:
        pick_device(name)
    assert "--device" in str(caught.value.hint)


def test_precision_determines_the_parameter_dtype() -> None:
    cpu = torch.device("cpu")
    assert [dtype_for(precision, cpu) for precision in ("float32", "bf16", "float64")] == [
        torch.float32,
        torch.float32,
        torch.float64,
    ]
    with pytest.raises(DeviceError, match="tf32 needs a CUDA device"):
        dtype_for("tf32", cpu)


@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
def test_training_on_cuda_matches_the_cpu() -> None:
    from dlcli.api import train
    from dlcli.config.load import load_config

    losses = [
        train(load_config("digits", ["training.epochs=5", f"training.device={device}"])).val["loss"]
        for device in ("cpu", "cuda", "cuda")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[1] == losses[2], "the same seed must give the same bits"


def test_model_too_large_for_memory_is_rejected_with_its_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config("digits", ["model.hidden_sizes=[20000, 20000]", "optimizer={name: adam}"]).config
    splits = load_splits(config)
    cpu = torch.device("cpu")
    monkeypatch.setattr(device_module, "memory_bytes", lambda _: 10**10)
    check_memory(config, splits, cpu, torch.float32)
    monkeypatch.setattr(device_module, "memory_bytes", lambda _: 10**9)
    with pytest.raises(DeviceError, match=r"hidden_sizes \[20000, 20000\], batch_size 64: 401,") as caught:
        check_memory(config, splits, cpu, torch.float32)
    assert caught.value.message.endswith("parameters need 6.4 GB, cpu has 1.0 GB")


def test_memory_size_of_this_machine_is_plausible() -> None:
    memory = device_module.memory_bytes(torch.device("cpu"))
    assert memory is not None
    assert 10**8 < memory < 10**14
